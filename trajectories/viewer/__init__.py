"""The viewer: a store as web pages, and as files that open anywhere. `contextrl view`, `contextrl export html`."""
