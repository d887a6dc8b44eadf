"""One transaction script per verb. They load, ask the domain, save, and tell; nothing here knows gRPC, SQL or NATS."""
