//! HTTP requests to addresses that people named: a name is looked up once and what was looked at is
//! what is connected to; addresses of the machine, of the link and of the cluster are refused unless
//! the installation allows them; redirects are an answer, not followed; answers are bounded in size and time.

mod allowed;
mod request;

pub use allowed::{Allowed, Network, NotANetwork};
pub use request::{Answer, Client, Error, resolve};
