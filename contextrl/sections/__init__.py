"""The sections of a recipe (`contextrl.config`): every key with its meaning, its unit and the vetted default."""
