"""Published claims, each with a verdict that is computed from its check or from a finding."""
