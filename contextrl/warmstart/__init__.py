"""Making the tiny policy: demonstrations in the real environment, then supervised training on them."""
