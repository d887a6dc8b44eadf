"""The fallback chains of the first regions: the three nearest others by great-circle distance. Operators edit them."""

from __future__ import annotations

CHAINS: dict[str, list[str]] = {
    "us-east-1": ["us-west-2", "eu-west-1", "eu-central-1"],
    "us-west-2": ["us-east-1", "eu-west-1", "ap-northeast-1"],
    "eu-west-1": ["eu-central-1", "us-east-1", "us-west-2"],
    "eu-central-1": ["eu-west-1", "us-east-1", "us-west-2"],
    "ap-southeast-1": ["ap-northeast-1", "eu-central-1", "eu-west-1"],
    "ap-northeast-1": ["ap-southeast-1", "us-west-2", "eu-central-1"],
    "local": [],
}
