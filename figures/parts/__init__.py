"""What several figures share: styles, looks and panels."""
