//! Tests of the text form of cluster ids.

use super::cluster_id_text;

#[test]
fn a_cluster_id_is_url_safe_base64_without_padding() {
    assert_eq!(cluster_id_text(&[0; 16]), "AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(cluster_id_text(&[0xff; 16]), "_____________________w");
    let ascending = std::array::from_fn(|index| u8::try_from(index).unwrap());
    assert_eq!(cluster_id_text(&ascending), "AAECAwQFBgcICQoLDA0ODw");
}
