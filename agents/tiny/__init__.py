"""The tiny policy: a Qwen3 of under a million parameters and a tokenizer for code, made by us, shipped here."""
