"""The AppArmor profile of an app."""
