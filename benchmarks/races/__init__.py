"""The farm's winners against other engines and other ways of using them."""
