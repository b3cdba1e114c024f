"""What every slim image has, and what none has: pure functions from Selection to Selection."""
