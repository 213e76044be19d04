//! The server's certificate, which is replaced while the server runs. Must not depend on HTTP.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, Result, bail};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::source;

/// Maximum size of a file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The certificate of two files, as they were when they last matched.
pub struct ServerCertificate {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: RwLock<Current>,
}

/// A certificate and the texts that it was read from.
struct Current {
    pair: Arc<CertifiedKey>,
    texts: [Vec<u8>; 2],
}

impl ServerCertificate {
    /// Reads the certificate chain and the private key, both in PEM.
    pub fn read(certificate: &Path, key: &Path, provider: Arc<CryptoProvider>) -> Result<Self> {
        let texts = [text(certificate)?, text(key)?];
        let pair = pair(&texts, certificate, key, &provider)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            provider,
            current: RwLock::new(Current { pair, texts }),
        })
    }

    /// Reads the files again. Returns whether the certificate changed; after an error, the previous one stays.
    pub fn refresh(&self) -> Result<bool> {
        let texts = [text(&self.certificate)?, text(&self.key)?];
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        if current.texts == texts {
            return Ok(false);
        }
        drop(current);
        let pair = pair(&texts, &self.certificate, &self.key, &self.provider)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Current { pair, texts };
        Ok(true)
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the key.
        let mut shown = out.debug_struct("ServerCertificate");
        shown.field("certificate", &self.certificate).finish()
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current.pair))
    }
}

fn text(path: &Path) -> Result<Vec<u8>> {
    let context = || path.display().to_string();
    let mut bytes = Vec::new();
    let file = source::open(path).with_context(context)?;
    let read = file.take(MAX_BYTES).read_to_end(&mut bytes);
    read.with_context(context)?;
    Ok(bytes)
}

fn pair(
    [chain, secret]: &[Vec<u8>; 2],
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>> {
    let name = certificate.display();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.with_context(|| format!("{name}: is not PEM"))?;
    if chain.is_empty() {
        bail!("{name}: contains no certificate");
    }
    let secret = PrivateKeyDer::from_pem_slice(secret);
    let secret = secret.with_context(|| format!("{}: contains no private key", key.display()))?;
    let pair = CertifiedKey::from_der(chain, secret, provider);
    let pair = pair.with_context(|| {
        let key = key.display();
        format!("{name} and {key}: cannot be used together")
    })?;
    Ok(Arc::new(pair))
}
