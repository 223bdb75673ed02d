//! A certificate that no public authority has signed, as teams have them inside.

use anyhow::Result;

/// For one name.
pub struct Signed {
    /// PEM of who signed it.
    pub authority: String,
    /// PEM of the certificate.
    pub certificate: String,
    /// PEM of its key.
    pub key: String,
}

/// Makes an authority, and a certificate of it.
pub fn signed(host: &str) -> Result<Signed> {
    let authority_key = rcgen::KeyPair::generate()?;
    let mut authority = rcgen::CertificateParams::new(Vec::<String>::new())?;
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "a team's own authority");
    let pem = authority.self_signed(&authority_key)?.pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec![host.to_owned()])?.signed_by(&key, &issuer)?;
    Ok(Signed { authority: pem, certificate: certificate.pem(), key: key.serialize_pem() })
}
