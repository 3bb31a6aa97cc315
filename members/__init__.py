"""Who buys: identities, points, coupons, campaigns (its tables come with their issue)."""
