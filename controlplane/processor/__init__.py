"""What happens without anybody asking: events leave the outbox, reports and heartbeats arrive, time passes."""
