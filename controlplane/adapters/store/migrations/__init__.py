"""The schema's history: numbered migrations that each move a database one step."""
