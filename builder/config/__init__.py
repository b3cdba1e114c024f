"""The configuration of the slim image: command, user, environment, history."""
