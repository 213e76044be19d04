//! Certificates of proxies that speak TLS to each other, made anew for each test.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};

/// Who issues certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    /// A new one, which nobody knows.
    pub fn new() -> Result<Authority> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        // By another name than what it issues, which would look like issued by itself.
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of the lab");
        let pem = params.self_signed(&key)?.pem();
        Ok(Authority {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// A certificate for a server and client with this URI, as SPIFFE has them.
    pub fn issue(&self, uri: &str) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
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

    /// Its own certificate, for whoever is to believe what it issued.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    fn validation(&self) -> Value {
        json!({"trusted_ca": {"inline_string": self.pem}})
    }

    /// The transport socket of a listener: it shows `own`, and asks clients for a certificate of
    /// this authority; without one it lets them in all the same unless `required`.
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

    /// The transport socket of a cluster: it shows `own`, if it is given.
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
    /// The certificate and its key, as the files of a proxy have them.
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
