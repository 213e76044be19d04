//! Certificates for mutual TLS between proxies, generated per test.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its private key.
#[derive(Clone, Debug)]
pub struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    /// Generates a new authority.
    pub fn new() -> Result<Authority> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        // Issued certificates have an empty name; with the same name they would look self-signed.
        params
            .distinguished_name
            .push(DnType::CommonName, "divvy-lab");
        let pem = params.self_signed(&key)?.pem();
        Ok(Authority {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// Issues a server and client certificate with this URI (SPIFFE) as subject alternative name.
    pub fn issue(&self, uri: &str) -> Result<Identity> {
        self.issue_to(SanType::URI(uri.try_into()?))
    }

    /// Issues a certificate to a server of this name.
    pub fn issue_to_host(&self, name: &str) -> Result<Identity> {
        self.issue_to(SanType::DnsName(name.try_into()?))
    }

    fn issue_to(&self, name: SanType) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![name];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Identity {
            certificate,
            key: key.serialize_pem(),
        })
    }

    /// Its own certificate.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    fn validation(&self) -> Value {
        json!({"trusted_ca": {"inline_string": self.pem}})
    }

    /// The transport socket of a listener with certificate `own`. Client certificates must be of this
    /// authority, and must be present if `required`.
    #[must_use]
    pub fn downstream(&self, own: &Identity, required: bool) -> Value {
        socket(
            "Downstream",
            json!({
                "require_client_certificate": required,
                "common_tls_context": {
                    "tls_certificates": [own.json()],
                    "validation_context": self.validation(),
                },
            }),
        )
    }

    /// The transport socket of a cluster, with client certificate `own`.
    #[must_use]
    pub fn upstream(&self, own: Option<&Identity>) -> Value {
        let certificates: Vec<_> = own.into_iter().map(Identity::json).collect();
        socket(
            "Upstream",
            json!({"common_tls_context": {
                "tls_certificates": certificates,
                "validation_context": self.validation(),
            }}),
        )
    }
}

impl Identity {
    /// The certificate and its private key.
    #[must_use]
    pub fn pem(&self) -> (&str, &str) {
        (&self.certificate, &self.key)
    }

    fn json(&self) -> Value {
        json!({
            "certificate_chain": {"inline_string": self.certificate},
            "private_key": {"inline_string": self.key},
        })
    }
}

fn socket(direction: &str, mut context: Value) -> Value {
    let package = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";
    context["@type"] = json!(format!("{package}.{direction}TlsContext"));
    json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
}
