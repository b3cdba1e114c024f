"""Security profiles that a trace implies: seccomp for containers, AppArmor."""
