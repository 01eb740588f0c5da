"""What Counterseal promises, checked. The tree mirrors `src/counterseal`; `flows/` runs whole programs end to end."""
