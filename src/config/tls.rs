//! The keys of TLS on the listener: which of them need each other.

use gateway::tls::{CertificateFiles, ClientCertificates, TlsSettings};

use super::{Reading, list};

impl Reading {
    /// Reads how the listener speaks TLS; `None` when no certificate is named.
    pub(super) fn tls(&mut self) -> Option<TlsSettings> {
        let chains = list(&self.text("tls_certificate_file"));
        let keys = list(&self.text("tls_key_file"));
        if chains.len() != keys.len() {
            self.errors.push(format!(
                "tls_certificate_file and tls_key_file are pairs in one order: {} and {} files are named",
                chains.len(),
                keys.len()
            ));
        }
        let http2 = self.parsed("http2", "true or false", true);
        let client_certificates = self.client_certificates();
        let client_ca_file = self.file("tls_client_ca_file");
        let client_crl_file = self.file("tls_client_crl_file");
        let asked = client_certificates != ClientCertificates::Off;
        if asked && client_ca_file.is_none() {
            let needs = "tls_client_certificates: tls_client_ca_file must say who vouches for clients";
            self.errors.push(needs.to_owned());
        }
        for (key, file) in [
            ("tls_client_ca_file", &client_ca_file),
            ("tls_client_crl_file", &client_crl_file),
        ] {
            if !asked && file.is_some() {
                let needs = format!("{key} has no effect unless tls_client_certificates is optional or required");
                self.errors.push(needs);
            }
        }
        let certificates = chains.into_iter().zip(keys).map(|(chain, key)| CertificateFiles {
            chain: chain.into(),
            key: key.into(),
        });
        let certificates: Vec<CertificateFiles> = certificates.collect();
        if certificates.is_empty() {
            if asked {
                let needs = "tls_client_certificates needs TLS: tls_certificate_file and tls_key_file";
                self.errors.push(needs.to_owned());
            }
            return None;
        }
        Some(TlsSettings {
            certificates,
            client_certificates,
            client_ca_file,
            client_crl_file,
            http2,
        })
    }

    fn client_certificates(&mut self) -> ClientCertificates {
        let asked = self.text("tls_client_certificates");
        match asked.as_str() {
            "off" => ClientCertificates::Off,
            "optional" => ClientCertificates::Optional,
            "required" => ClientCertificates::Required,
            other => {
                let problem = format!("tls_client_certificates: {other:?} is not off, optional or required");
                self.errors.push(problem);
                ClientCertificates::Off
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Given, SERVE};

    fn errors(given: &[(&str, &str)]) -> Vec<String> {
        let given = given
            .iter()
            .fold(Given::<SERVE>::default(), |all, (name, value)| all.with(name, *value));
        let mut reading = given.read();
        reading.tls();
        reading.finish().err().map_or_else(Vec::new, |errors| errors.0)
    }

    #[test]
    fn keys_of_tls_that_lack_the_keys_they_need_are_told_all_at_once() {
        let pair = [
            ("tls_certificate_file", "a.pem, b.pem"),
            ("tls_key_file", "a.key,b.key"),
        ];
        let clients = [
            ("tls_client_certificates", "required"),
            ("tls_client_ca_file", "ca.pem"),
        ];
        assert_eq!(errors(&[]), [""; 0]);
        assert_eq!(errors(&pair), [""; 0]);
        assert_eq!(errors(&[&pair[..], &clients[..]].concat()), [""; 0]);
        let told = errors(&[("tls_key_file", "a.key"), ("tls_client_certificates", "optional")]);
        assert_eq!(told.len(), 3, "{told:#?}");
        assert!(told[0].contains("0 and 1 files"), "{told:#?}");
        assert!(told[1].contains("tls_client_ca_file must say"), "{told:#?}");
        assert!(told[2].contains("needs TLS"), "{told:#?}");
        let told = errors(&[("tls_client_ca_file", "ca.pem"), ("tls_client_crl_file", "crl.pem")]);
        assert_eq!(told.len(), 2, "{told:#?}");
        assert!(told.iter().all(|told| told.contains("has no effect")), "{told:#?}");
        let told = errors(&[("tls_client_certificates", "yes")]);
        assert_eq!(
            told,
            ["tls_client_certificates: \"yes\" is not off, optional or required"]
        );
    }
}
