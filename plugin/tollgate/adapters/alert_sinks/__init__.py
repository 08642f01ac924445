"""Where alerts are told: a webhook, Slack, e-mail."""
