//! Fixtures shared by the claims.
