"""What another geo database would move between regions."""
