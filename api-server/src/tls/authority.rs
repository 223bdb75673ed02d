//! The certificate authority that runs trust. It signs the certificates of the listener and
//! nothing else; its own certificate is handed to pods, its key never leaves the installation.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

/// How long a new authority is valid.
pub const AUTHORITY_LIFETIME: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);
/// How long a listener's certificate is valid.
pub const CERTIFICATE_LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);
/// Certificates begin a little earlier than now, for clocks that are late.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(1);

/// An authority that can sign.
pub struct Authority {
    /// When it ends.
    pub not_after: Timestamp,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate for the listener, and its key.
pub struct Certificate {
    /// DER.
    pub certificate: CertificateDer<'static>,
    /// PKCS#8.
    pub key: PrivateKeyDer<'static>,
    /// When it ends: never after its authority.
    pub not_after: Timestamp,
}

/// A new authority: certificate and key, PEM.
pub fn generate(now: Timestamp) -> Result<(String, String), Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name("fastDeploy runs");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = moment(now.saturating_sub(CLOCK_SKEW)?)?;
    params.not_after = moment(now.saturating_add(AUTHORITY_LIFETIME)?)?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

impl Authority {
    /// From a Secret: certificate and key, PEM.
    pub fn from_pem(certificate: &str, key: &str, now: Timestamp) -> Result<Self, Error> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| Error::Certificate)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| Error::Certificate)?;
        if !parsed.is_ca() {
            return Err(Error::NotAnAuthority);
        }
        let key = KeyPair::from_pem(key)?;
        if parsed.public_key().subject_public_key.data != key.public_key_raw() {
            return Err(Error::Mismatch);
        }
        let not_after = Timestamp::from_second(parsed.validity().not_after.timestamp())?;
        if not_after <= now {
            return Err(Error::Expired(not_after));
        }
        Ok(Self { not_after, issuer: Issuer::from_ca_cert_der(&der, key)? })
    }

    /// A new certificate for these names and addresses.
    pub fn issue(&self, hosts: &[String], now: Timestamp) -> Result<Certificate, Error> {
        let key = KeyPair::generate()?;
        let not_after = now.saturating_add(CERTIFICATE_LIFETIME)?.min(self.not_after);
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name = name("fastdeploy-api-server");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = moment(now.saturating_sub(CLOCK_SKEW)?)?;
        params.not_after = moment(not_after)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Certificate {
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            not_after,
        })
    }
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn moment(at: Timestamp) -> Result<OffsetDateTime, Error> {
    Ok(OffsetDateTime::from_unix_timestamp(at.as_second())?)
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// Why an authority cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No certificate, or a damaged one.
    #[error("failed to read the authority's certificate")]
    Certificate,
    /// A certificate that may not sign others.
    #[error("the certificate is not one of a certificate authority")]
    NotAnAuthority,
    /// Of two different authorities.
    #[error("the authority's key does not belong to its certificate")]
    Mismatch,
    /// Too old.
    #[error("the authority's certificate ended at {0}")]
    Expired(Timestamp),
    /// Damaged key, or a host that cannot stand in a certificate.
    #[error("failed to make a certificate")]
    Rcgen(#[from] rcgen::Error),
    /// A time out of range.
    #[error("failed to compute a certificate's end")]
    Jiff(#[from] jiff::Error),
    /// A time out of range.
    #[error("failed to write a certificate's end")]
    Time(#[from] time::error::ComponentRange),
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn hosts(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn an_authority_reads_back_and_signs_for_names_and_addresses() {
        let (certificate, key) = generate(NOW).unwrap();
        let authority = Authority::from_pem(&certificate, &key, NOW).unwrap();
        assert_eq!(authority.not_after, NOW + AUTHORITY_LIFETIME);
        let leaf = authority.issue(&hosts(&["runs.fd.svc", "127.0.0.1", "::1"]), NOW).unwrap();
        assert_eq!(leaf.not_after, NOW + CERTIFICATE_LIFETIME);
        let (_, parsed) = X509Certificate::from_der(&leaf.certificate).unwrap();
        assert!(!parsed.is_ca());
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 3);
    }

    #[test]
    fn a_certificate_never_outlives_its_authority() {
        let (certificate, key) = generate(NOW).unwrap();
        let authority = Authority::from_pem(&certificate, &key, NOW).unwrap();
        let late = authority.not_after - SignedDuration::from_hours(48);
        assert_eq!(authority.issue(&hosts(&["a"]), late).unwrap().not_after, authority.not_after);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let (certificate, key) = generate(NOW).unwrap();
        let (_, other) = generate(NOW).unwrap();
        let read = |certificate: &str, key: &str, now| Authority::from_pem(certificate, key, now).map(|_| ());
        assert!(matches!(read(&certificate, &other, NOW), Err(Error::Mismatch)));
        assert!(matches!(read("nonsense", &key, NOW), Err(Error::Certificate)));
        assert!(matches!(read(&certificate, "nonsense", NOW), Err(Error::Rcgen(_))));
        let later = NOW + AUTHORITY_LIFETIME;
        assert!(matches!(read(&certificate, &key, later), Err(Error::Expired(_))));
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(hosts(&["a"])).unwrap().self_signed(&leaf_key).unwrap();
        assert!(matches!(read(&leaf.pem(), &leaf_key.serialize_pem(), NOW), Err(Error::NotAnAuthority)));
    }

    #[test]
    fn the_key_is_not_shown() {
        let (certificate, key) = generate(NOW).unwrap();
        let shown = format!("{:?}", Authority::from_pem(&certificate, &key, NOW).unwrap());
        assert_eq!(shown, format!("Authority {{ not_after: {}, .. }}", NOW + AUTHORITY_LIFETIME));
    }
}
