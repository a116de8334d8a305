//! Signatures of hosted protocols: what is signed, and how it is checked.

use sha2::{Digest, Sha256};

/// A scheme of keys and signatures, as `Start.scheme` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Ed25519,
    /// Every node can sign with any key: for runs in virtual time, which it makes many times faster.
    Test,
}

impl Scheme {
    /// The scheme of a name, or none: a scheme that is not known verifies nothing.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "ed25519" => Some(Self::Ed25519),
            "test" => Some(Self::Test),
            _ => None,
        }
    }
}

/// What the core signs for a `Sign` of this height; docs/spec/consensus.md has the layout. A chain id has at most 255 bytes.
pub fn signed_bytes(chain_id: &str, height: u64, kind: u32, round: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32 + chain_id.len() + data.len());
    bytes.extend_from_slice(b"ordo/sign/1");
    bytes.push(chain_id.len() as u8);
    bytes.extend_from_slice(chain_id.as_bytes());
    bytes.extend_from_slice(&height.to_be_bytes());
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&round.to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// The signature of [`Scheme::Test`].
pub fn test_signature(key: &[u8], message: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(key).chain_update(message).finalize().into()
}

/// Says whether a signature over [`signed_bytes`] is of a key.
pub fn verify_signature(scheme: Scheme, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    match scheme {
        Scheme::Test => signature == test_signature(key, message),
        Scheme::Ed25519 => ed25519(key, message, signature),
    }
}

#[cfg(feature = "ed25519")]
fn ed25519(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use ed25519_dalek::{Signature, Verifier, VerifyingKey};
    let (Ok(key), Ok(signature)) = (key.try_into(), Signature::from_slice(signature)) else { return false };
    VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify(message, &signature).is_ok())
}

#[cfg(not(feature = "ed25519"))]
fn ed25519(_: &[u8], _: &[u8], _: &[u8]) -> bool {
    tracing::error!(
        "signatures of scheme ed25519 are not checked, and count as wrong: turn the feature ed25519 of ordo-sdk on"
    );
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_of_what_is_signed_is_that_of_the_specification() {
        let bytes = signed_bytes("SN_X", 7, 2, 3, b"data");
        assert_eq!(bytes, b"ordo/sign/1\x04SN_X\0\0\0\0\0\0\0\x07\0\0\0\x02\0\0\0\x03data");
    }

    #[test]
    fn a_test_signature_is_of_one_key_and_one_message() {
        let signature = test_signature(b"key", b"message");
        assert!(verify_signature(Scheme::Test, b"key", b"message", &signature));
        for (key, message, signature) in [
            ("kez", "message", &signature[..]),
            ("key", "messagf", &signature[..]),
            ("key", "message", &signature[1..]),
        ] {
            assert!(!verify_signature(Scheme::Test, key.as_bytes(), message.as_bytes(), signature));
        }
        assert_eq!(
            (Scheme::of("test"), Scheme::of("ed25519"), Scheme::of("")),
            (Some(Scheme::Test), Some(Scheme::Ed25519), None)
        );
    }

    #[cfg(feature = "ed25519")]
    #[test]
    fn an_ed25519_signature_is_that_of_rfc_8032() {
        use ed25519_dalek::{Signer, SigningKey};
        let secret = SigningKey::from_bytes(&[7; 32]);
        let (key, signature) = (secret.verifying_key().to_bytes(), secret.sign(b"message").to_bytes());
        assert!(verify_signature(Scheme::Ed25519, &key, b"message", &signature));
        assert!(!verify_signature(Scheme::Ed25519, &key, b"massage", &signature));
        for (key, signature) in [(&key[1..], &signature[..]), (&key[..], &signature[1..]), (&[], &[])] {
            assert!(!verify_signature(Scheme::Ed25519, key, b"message", signature));
        }
    }
}
