//! A secret can neither be shown nor compared in a time that depends on it.

use twenty_webhook::verify::{Keys, Secret, Signer};

fn main() {
    let secret = Secret::new("secret").unwrap();
    println!("{secret}"); //~ E0277
    let _ = secret.to_string(); //~ E0599
    let _ = serde_json::to_string(&secret); //~ E0277
    let _ = secret == Secret::new("another").unwrap(); //~ E0369
    let _ = &*secret == "another"; //~ E0614
    let _ = secret.text; //~ E0616
    let text: String = secret.into(); //~ E0277
    let signer = Signer::new(text).unwrap();
    println!("{signer}"); //~ E0277
    let keys = Keys::new("id", []).unwrap();
    let _ = keys.secrets(); //~ E0624
}
