"""What a kept file needs beside itself: one module per rule, and the fixpoint over them."""
