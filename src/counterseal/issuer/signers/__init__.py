"""Places where a private key can live, one file each, all behind `issuer.signer.Signer`."""
