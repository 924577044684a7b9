"""cost-guard: budgets that no attempt can exceed, and a ledger of what every attempt cost."""
