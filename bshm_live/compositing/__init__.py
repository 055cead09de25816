"""What the person is put before, and how."""
