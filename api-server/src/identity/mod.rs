//! Who is who: the installation's signing key and the tokens that it signs.

pub mod key;
pub mod token;
