"""Instead of the agent's probe: the real one takes a second of a core and more, and a busy machine's comes late."""

import json

NO_ENCODERS = ("echo", json.dumps({"encoders": []}))
