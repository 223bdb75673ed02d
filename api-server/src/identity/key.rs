//! The installation's Ed25519 key: made once, kept in a Secret, signs every token. While it is
//! replaced, the one before and the one to come are believed, too, so that nobody is signed out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{DecodingKey, EncodingKey};
use rcgen::{KeyPair, PKCS_ED25519};
use sha2::{Digest, Sha256};

/// The key that signs tokens, with its name, and all keys that are believed. Shared: what one handle
/// is told, all know.
#[derive(Clone)]
pub struct SigningKey(Arc<RwLock<Ring>>);

struct Ring {
    kid: String,
    private: Private,
    public: BTreeMap<String, DecodingKey>,
}

#[derive(Clone)]
struct Private {
    signs: EncodingKey,
    /// See [`SigningKey::mac`].
    mac: [u8; 32],
}

/// A new key: PEM and name.
pub fn generate() -> Result<(String, String), Error> {
    let pair = KeyPair::generate_for(&PKCS_ED25519)?;
    Ok((pair.serialize_pem(), key_id(pair.public_key_raw())))
}

impl SigningKey {
    /// From a Secret: PKCS#8 as PEM, and the key's name.
    pub fn from_pem(pem: &str, kid: &str) -> Result<Self, Error> {
        let (kid, private, public) = Self::read(pem, kid)?;
        let public = BTreeMap::from([(kid.clone(), public)]);
        Ok(Self(Arc::new(RwLock::new(Ring { kid, private, public }))))
    }

    /// Believes this one, too.
    pub fn and(self, pem: &str, kid: &str) -> Result<Self, Error> {
        let (kid, _, public) = Self::read(pem, kid)?;
        self.0.write().unwrap_or_else(PoisonError::into_inner).public.entry(kid).or_insert(public);
        Ok(self)
    }

    /// From now on every handle of this one is as that one. Answers whether anything is other than it was.
    pub fn become_as(&self, other: &Self) -> bool {
        let (kid, private, public) = {
            let other = other.0.read().unwrap_or_else(PoisonError::into_inner);
            (other.kid.clone(), other.private.clone(), other.public.clone())
        };
        let mut ring = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let same = ring.kid == kid && ring.public.keys().eq(public.keys());
        *ring = Ring { kid, private, public };
        !same
    }

    /// The name of the key that signs, as it stands in a token's header.
    pub fn kid(&self) -> String {
        self.0.read().unwrap_or_else(PoisonError::into_inner).kid.clone()
    }

    /// HMAC-SHA-256 of something, in hex, that only we can make: with a key of its own, which follows from the one that
    /// signs and is another one after a rotation.
    pub fn mac(&self, of: &[&[u8]]) -> String {
        let key = self.0.read().unwrap_or_else(PoisonError::into_inner).private.mac;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
        for part in of {
            // No two lists of parts are the same bytes.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        hex::encode(mac.finalize().into_bytes())
    }

    /// What signs.
    pub(super) fn private(&self) -> EncodingKey {
        self.0.read().unwrap_or_else(PoisonError::into_inner).private.signs.clone()
    }

    /// What the signature of that name is checked with.
    pub(super) fn public(&self, kid: &str) -> Option<DecodingKey> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).public.get(kid).cloned()
    }

    fn read(pem: &str, kid: &str) -> Result<(String, Private, DecodingKey), Error> {
        let kid = kid.trim();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if kid.is_empty() || kid.len() > 64 || !kid.bytes().all(plain) {
            return Err(Error::Name);
        }
        let pair = KeyPair::from_pem(pem)?;
        if !pair.is_compatible(&PKCS_ED25519) {
            return Err(Error::Kind);
        }
        let mac =
            Sha256::new().chain_update("fastdeploy mac\n").chain_update(pair.serialized_der()).finalize();
        let private = Private { signs: EncodingKey::from_ed_pem(pem.as_bytes())?, mac: mac.into() };
        Ok((kid.to_owned(), private, DecodingKey::from_ed_der(pair.public_key_raw())))
    }
}

/// The name that a new key is given: it follows from the key.
fn key_id(public: &[u8]) -> String {
    hex::encode(&Sha256::digest(public)[..8])
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid()).finish_non_exhaustive()
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No private key, or a damaged one.
    #[error("failed to read the private key")]
    Pem(#[from] rcgen::Error),
    /// A private key that does not sign.
    #[error("failed to sign with the private key")]
    Jwt(#[from] jsonwebtoken::errors::Error),
    /// RSA, ECDSA, …
    #[error("the private key is not an Ed25519 key")]
    Kind,
    /// An empty or odd kid.
    #[error("the key's kid must be 1 to 64 letters, digits, dots, dashes or underscores")]
    Name,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A key of its own for a test.
    pub(crate) fn any() -> SigningKey {
        let (pem, kid) = generate().unwrap();
        SigningKey::from_pem(&pem, &kid).unwrap()
    }

    #[test]
    fn a_generated_key_reads_back_under_the_same_name() {
        let (pem, kid) = generate().unwrap();
        assert_eq!(SigningKey::from_pem(&pem, &format!("{kid}\n")).unwrap().kid(), kid);
        assert_eq!(kid.len(), 16);
    }

    #[test]
    fn a_key_made_by_openssl_is_fine() {
        // The key of RFC 8410, section 10.3.
        let pem = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                   -----END PRIVATE KEY-----\n";
        SigningKey::from_pem(pem, "mine").unwrap();
    }

    #[test]
    fn other_keys_are_refused() {
        let ecdsa = KeyPair::generate().unwrap().serialize_pem();
        assert!(matches!(SigningKey::from_pem(&ecdsa, "a"), Err(Error::Kind)));
        assert!(matches!(SigningKey::from_pem("nonsense", "a"), Err(Error::Pem(_))));
        for kid in ["", " ", "a b", "a\"b", &"x".repeat(65)] {
            assert!(matches!(SigningKey::from_pem(&generate().unwrap().0, kid), Err(Error::Name)), "{kid:?}");
        }
    }

    #[test]
    fn a_mac_is_of_its_key_and_of_each_part() {
        let (pem, kid) = generate().unwrap();
        let key = SigningKey::from_pem(&pem, &kid).unwrap();
        let mac = key.mac(&[b"run", b"hunter2"]);
        assert_eq!(mac, SigningKey::from_pem(&pem, &kid).unwrap().mac(&[b"run", b"hunter2"]));
        assert!(mac != key.mac(&[b"run", b"hunter3"]) && mac != key.mac(&[b"runh", b"unter2"]));
        assert_ne!(mac, any().mac(&[b"run", b"hunter2"]));
    }

    #[test]
    fn the_key_is_not_shown() {
        let shown = format!("{:?}", any());
        assert!(shown.starts_with("SigningKey { kid: "), "{shown}");
        assert!(!shown.contains("private"), "{shown}");
    }
}
