from tests.docker_engine import docker_engine, wrapper_image

__all__ = ["docker_engine", "wrapper_image"]
