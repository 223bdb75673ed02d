//! Who is who: the installation's signing key and the tokens that it signs; and those that others sign.

pub mod foreign;
pub mod issuer;
pub mod key;
pub mod token;
