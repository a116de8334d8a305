//! Verify: a certificate of a decision, checked with what the request says and nothing else.

use ordo_sdk::consensus::{Scheme, Verifier, VerifyRequest};

use crate::context::Set;
use crate::signatures::Signatures;
use crate::wire::read_certificate;

/// Takes a certificate with precommits of more than 2/3 of the power, for the block with this value, in one round of the height.
pub struct Certificates;

impl Verifier for Certificates {
    fn verify(&self, request: &VerifyRequest) -> Result<(), String> {
        let certificate = read_certificate(request.height, &request.certificate).ok_or("it cannot be read")?;
        let set = Set::new(&request.validators)?;
        if certificate.value_id.value() != request.value {
            return Err("the precommits are for another value".into());
        }
        if Scheme::of(&request.scheme).is_none() {
            return Err(format!("scheme {:?} of signatures is not known", request.scheme));
        }
        if request.chain_id.len() > usize::from(u8::MAX) {
            return Err("the chain id is too long".into());
        }
        let mut signatures = Signatures::new(&request.chain_id, &request.scheme, set, request.height);
        signatures.commit(&certificate).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use malachite_types::{CommitCertificate, CommitSignature, Round};
    use ordo_sdk::bytes::Bytes;
    use ordo_sdk::consensus::{signed_bytes, test_signature, Validator};

    use super::*;
    use crate::context::{Address, Height, Id};
    use crate::wire;

    fn key(place: u16) -> [u8; 32] {
        [place as u8 + 1; 32]
    }

    fn signed(place: u16, id: &Id) -> CommitSignature<crate::context::Ordo> {
        let message = signed_bytes("C", 7, wire::PRECOMMIT, 2, &id.0);
        CommitSignature::new(Address(place), Bytes::copy_from_slice(&test_signature(&key(place), &message)))
    }

    fn request(powers: &[u64], signers: &[u16]) -> VerifyRequest {
        let id = Id::new(&[9; 32], Address(1)).unwrap();
        let certificate = CommitCertificate {
            height: Height(7),
            round: Round::new(2),
            value_id: id,
            commit_signatures: signers.iter().map(|place| signed(*place, &id)).collect(),
        };
        let validators = powers.iter().zip(0..).map(|(power, place)| Validator {
            key: Bytes::copy_from_slice(&key(place)),
            power: *power,
            address: Bytes::from_static(&[0; 32]),
        });
        VerifyRequest {
            chain_id: "C".into(),
            height: 7,
            value: Bytes::from_static(&[9; 32]),
            certificate: wire::certificate(&certificate).into(),
            validators: validators.collect(),
            scheme: "test".into(),
        }
    }

    fn reason(request: &VerifyRequest) -> String {
        Certificates.verify(request).err().unwrap_or_default()
    }

    #[test]
    fn more_than_two_thirds_of_the_power_decide() {
        assert_eq!(reason(&request(&[1, 1, 1, 1], &[0, 1, 3])), "");
        assert_eq!(reason(&request(&[1, 1, 1, 1], &[3, 2, 1, 0])), "");
        assert_eq!(reason(&request(&[1, 1, 1, 7], &[0, 3])), "");
        for (powers, signers) in [(&[1, 1, 1, 1], &[0, 1][..]), (&[1, 1, 1, 3], &[0, 3]), (&[1, 1, 1, 1], &[])] {
            assert!(reason(&request(powers, signers)).starts_with("Not enough voting power"), "{powers:?} {signers:?}");
        }
        assert!(reason(&request(&[1, 1, 1, 1], &[0, 1, 1])).starts_with("Multiple votes"));
        assert!(reason(&request(&[1, 1, 1, 1], &[0, 1, 4])).contains("not in the validator set"));
    }

    #[test]
    fn a_certificate_is_of_one_value_one_height_one_chain_and_one_set() {
        let good = request(&[1, 1, 1, 1], &[0, 1, 3]);
        let mut other = good.clone();
        other.value = Bytes::from_static(&[8; 32]);
        assert_eq!(reason(&other), "the precommits are for another value");
        for change in [
            |request: &mut VerifyRequest| request.height = 8,
            |request: &mut VerifyRequest| request.chain_id = "D".into(),
            |request: &mut VerifyRequest| request.validators.swap(0, 1),
            |request: &mut VerifyRequest| request.scheme = "ed25519".into(),
        ] {
            let mut other = good.clone();
            change(&mut other);
            assert!(reason(&other).starts_with("Invalid commit signature"), "{}", reason(&other));
        }
    }

    #[test]
    fn what_cannot_be_read_or_counted_is_invalid() {
        let mut request = request(&[1, 1, 1, 1], &[0, 1, 3]);
        request.scheme = "none".into();
        assert_eq!(reason(&request), "scheme \"none\" of signatures is not known");
        request.validators[0].power = u64::MAX;
        assert!(reason(&request).starts_with("the powers of the validators must sum"));
        request.validators.clear();
        assert!(reason(&request).starts_with("0 validators"));
        for certificate in [&b"x"[..], &[0xff; 500], &[]] {
            request.certificate = Bytes::copy_from_slice(certificate);
            assert_eq!(reason(&request), "it cannot be read");
        }
    }
}
