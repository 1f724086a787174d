"""Tasks from repositories, and the environment that plays them.

Importing this package makes the environment known to Gymnasium, so `gymnasium.make("envs:contextrl/SWE-v0", task=...)`
works by itself. What it is made of is imported when the first one is made.
"""

import gymnasium

ENV_ID = "contextrl/SWE-v0"

if ENV_ID not in gymnasium.registry:
    gymnasium.register(ENV_ID, entry_point="envs.making:make_env")
