"""How far two samples are apart, by features of their examples."""
