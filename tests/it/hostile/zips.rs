//! Zip archives that are broken, that two readers would read in two ways, or that grow when unpacked.

use super::build::*;
use super::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    [damaged(), twice(), disagreeing(), growing(), named(), zip64(), contents(), scripted()]
        .into_iter()
        .flatten()
        .collect()
}

/// A sound archive with one member changed.
fn changed(index: usize, change: impl FnOnce(&mut Member)) -> Vec<u8> {
    let mut members = good_members();
    change(&mut members[index]);
    zip(&members)
}

fn damaged() -> Vec<Case> {
    let file = zip(&good_members());
    let mut cases: Vec<Case> = (1..=10)
        .map(|i| case("zip cut short", "zip end record", file[..file.len() * i / 11].to_vec()))
        .collect();
    let crc = |bytes| case("checksum wrong", "CRC-32", bytes);
    cases.extend([
        crc(changed(0, |m| m.crc ^= 1)),
        crc(changed(2, |m| m.crc ^= 1)),
        crc(changed(2, |m| m.data[5] ^= 1)),
        crc({
            let mut all = good_members();
            all[2] = deflated("a/data/0", &(0..24).collect::<Vec<u8>>());
            all[2].crc ^= 0x100;
            zip(&all)
        }),
    ]);
    let broken = |bytes| case("deflated data broken", "a/data/0", bytes);
    let deflate = |change: fn(&mut Member)| {
        let mut all = good_members();
        all[2] = deflated("a/data/0", &(0..24).collect::<Vec<u8>>());
        change(&mut all[2]);
        zip(&all)
    };
    cases.extend([
        broken(deflate(|m| m.data[0] = 0xff)),
        broken(deflate(|m| m.data.truncate(4))),
        broken(deflate(|m| m.data.extend([0; 9]))),
        broken(deflate(|m| m.data.clear())),
    ]);
    let count = |ending| case("zip directory forged", "byte", zip_with(&good_members(), &ending));
    cases.extend([
        count(Ending { count: Some(3), ..Ending::default() }),
        count(Ending { count: Some(5), ..Ending::default() }),
        count(Ending { count: Some(60_000), ..Ending::default() }),
        count(Ending { len: Some(46), ..Ending::default() }),
        count(Ending { len: Some(u32::MAX - 1), ..Ending::default() }),
        count(Ending { offset: Some(0), ..Ending::default() }),
        count(Ending { offset: Some(u32::MAX - 1), ..Ending::default() }),
        count(Ending { disk: 1, ..Ending::default() }),
    ]);
    cases
}

fn twice() -> Vec<Case> {
    let file = zip(&good_members());
    let joined = |says, bytes: Vec<u8>| case("bytes around the archive", says, bytes);
    let mut cases = vec![
        joined("zip end record", [file.as_slice(), b"\0"].concat()),
        joined("zip end record", [file.as_slice(), &[0; 70_000]].concat()),
        joined("bytes before or after", [file.as_slice(), &file].concat()),
        joined(
            "comment",
            zip_with(&good_members(), &Ending { comment: b"a comment".to_vec(), ..Ending::default() }),
        ),
        joined("byte", zip_with(&good_members(), &Ending { comment: file.clone(), ..Ending::default() })),
        joined(
            "belong to no member",
            zip_with(&good_members(), &Ending { gap: vec![7; 9], ..Ending::default() }),
        ),
    ];
    let again = |name: &str, data: &[u8]| {
        let mut all = good_members();
        all.push(member(name, data));
        zip(&all)
    };
    cases.extend([
        case("two members of one name", "two members", again("a/data/0", &[9; 24])),
        case("two members of one name", "two members", again("a/data.pkl", &pickle(b"}"))),
        case("two members of one name", "two members", again("a/byteorder", b"big")),
        case("names that differ in case only", "case", again("a/DATA/0", &[9; 24])),
        case("names that differ in case only", "case", again("A/data.pkl", &pickle(b"}"))),
        case("names that differ in case only", "case", again("a/Version", b"3\n")),
    ]);
    let at = |index: usize, at: u32| changed(index, |m| m.at = Some(at));
    cases.extend([
        case("members that overlap", "byte", at(2, 0)),
        case("members that overlap", "byte", at(3, 1)),
        case("members that overlap", "byte", at(1, 40)),
        case("gaps between members", "belong to no member", changed(0, |m| m.after = vec![0; 3])),
        case(
            "gaps between members",
            "belong to no member",
            changed(2, |m| m.after = b"PK\x03\x04hidden".to_vec()),
        ),
        case("gaps between members", "belong to no member", changed(1, |m| m.after = vec![0; 4096])),
    ]);
    cases
}

fn disagreeing() -> Vec<Case> {
    let differs = |says, bytes| case("local header and directory differ", says, bytes);
    let truth = |m: &Member| (m.flags, m.method, m.crc, m.data.len() as u32, m.size);
    let local = |index: usize, change: fn(&mut (u16, u16, u32, u32, u32))| {
        changed(index, |m| {
            let mut fields = truth(m);
            change(&mut fields);
            m.local = Some(fields);
        })
    };
    let mut cases = vec![
        differs("name", changed(0, |m| m.local_name = Some("a/data.pkx".into()))),
        differs("name", changed(2, |m| m.local_name = Some("a/data/1".into()))),
        differs("flags", local(0, |f| f.0 = 1)),
        differs("method", local(0, |f| f.1 = 8)),
        differs("CRC-32", local(0, |f| f.2 ^= 1)),
        differs("size", local(2, |f| f.3 -= 1)),
        differs("size", local(2, |f| f.4 += 1)),
        differs("size", local(2, |f| f.4 = 0)),
        differs("local header", changed(2, |m| m.at = Some(3))),
    ];
    let odd = |says, bytes| case("encrypted, split or strangely packed", says, bytes);
    cases.extend([
        odd("encrypted", changed(2, |m| m.flags = 1)),
        odd("encrypted", changed(2, |m| m.flags = 1 << 6)),
        odd("method 12", changed(2, |m| m.method = 12)),
        odd("method 99", changed(2, |m| m.method = 99)),
        odd("volume", changed(2, |m| m.disk = 3)),
        odd("stored member", changed(2, |m| m.size = 23)),
    ]);
    let descriptor = |bytes: &[u8]| {
        changed(2, |m| {
            m.flags = 8;
            m.local = Some((8, 0, 0, 0, 0));
            m.after = bytes.to_vec();
        })
    };
    cases.extend([
        case("data descriptors forged", "descriptor", descriptor(b"")),
        case(
            "data descriptors forged",
            "descriptor",
            descriptor(&[b"PK\x07\x08".as_slice(), &[0; 12]].concat()),
        ),
        case("data descriptors forged", "belong to no member", descriptor(&[0; 7])),
        case("data descriptors forged", "descriptor", descriptor(&[1; 12])),
    ]);
    cases
}

fn growing() -> Vec<Case> {
    let bomb = |says, bytes: Vec<u8>| case("zip bomb", says, bytes);
    let zeros = vec![0u8; 200 << 20];
    let packed = deflated("a/data/0", &zeros);
    let claims = |size: u32| {
        let mut all = members(&state(&[("w", vector("0", 6))]));
        all[2] = deflated("a/data/0", &vec![0u8; 40 << 20]);
        all[2].size = size;
        zip(&all)
    };
    vec![
        bomb("zip bomb", {
            let mut all = good_members();
            all[2] = packed.clone();
            zip(&all)
        }),
        bomb("zip bomb", {
            // Many members, each of them modest.
            let one = deflated("x", &zeros[..1 << 20]);
            let rename = |i: usize| Member { name: format!("a/data/{i}"), ..one.clone() };
            zip(&good_members().into_iter().take(2).chain((0..100).map(rename)).collect::<Vec<_>>())
        }),
        // It claims what its tensor says, and inflates to far more.
        bomb("inflates to more", claims(24)),
        bomb("a/data.pkl", {
            let mut all = good_members();
            all[0] =
                deflated("a/data.pkl", &[b"\x80\x02".as_slice(), &b"N0".repeat(25 << 20), b"}."].concat());
            zip(&all)
        }),
        bomb("a/byteorder", changed(1, |m| *m = deflated("a/byteorder", &[b'l'; 1 << 20]))),
        bomb("zip bomb", {
            let mut all = good_members();
            all[2].method = 8;
            all[2].size = u32::MAX - 1;
            zip(&all)
        }),
    ]
}

fn named() -> Vec<Case> {
    let slip = |name: &str| {
        let mut all = good_members();
        all.push(member(name, b"x"));
        case("names that leave the folder", "member", zip(&all))
    };
    let mut cases: Vec<Case> = ["../x", "a/../../x", "/etc/x", "C:x", "a\\..\\x", "a/\0x", "", "a/.."]
        .iter()
        .map(|n| slip(n))
        .collect();
    let outside = |says, bytes| case("members where torch has none", says, bytes);
    cases.extend([
        outside("where the others are", {
            let mut all = good_members();
            all.push(member("b/data/0", &[0; 24]));
            zip(&all)
        }),
        outside("outside of the archive's folder", zip(&[member("data.pkl", &pickle(b"}"))])),
        outside("data.pkl", zip(&[member("word/document.xml", b"<xml/>")])),
        outside("data.pkl", zip(&[member("a/data/0", &[0; 24])])),
    ]);
    cases
}

fn zip64() -> Vec<Case> {
    let record = |count: u64, len: u64, offset: u64, at: u64, form: u64| {
        let mut bytes = b"PK\x06\x06".to_vec();
        bytes.extend(form.to_le_bytes());
        bytes.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for n in [count, count, len, offset] {
            bytes.extend(n.to_le_bytes());
        }
        bytes.extend(b"PK\x06\x07\0\0\0\0");
        bytes.extend(at.to_le_bytes());
        bytes.extend([1, 0, 0, 0]);
        bytes
    };
    let all = good_members();
    let plain = zip(&all);
    let end = plain.len() - 22;
    let offset = u64::from(u32::from_le_bytes(plain[end + 16..end + 20].try_into().unwrap()));
    let len = end as u64 - offset;
    let with = |before: Vec<u8>, count: Option<u16>| {
        zip_with(&all, &Ending { before, count, len: None, ..Ending::default() })
    };
    let forged = |says, bytes| case("zip64 forged", says, bytes);
    let extra = |body: &[u8]| {
        let mut extra = vec![1, 0];
        extra.extend((body.len() as u16).to_le_bytes());
        extra.extend_from_slice(body);
        extra
    };
    vec![
        forged("differ", with(record(9, len, offset, end as u64, 44), None)),
        forged("differ", with(record(4, len, offset + 1, end as u64, 44), None)),
        forged("locator", with(record(4, len, offset, 0, 44), None)),
        forged("another form", with(record(4, len, offset, end as u64, 45), None)),
        forged("members", with(record(u64::MAX, len, offset, end as u64, 44), Some(u16::MAX))),
        forged("zip64 record", with(Vec::new(), Some(u16::MAX))),
        forged("zip64 field", changed(2, |m| m.size = u32::MAX)),
        forged(
            "zip64 field",
            changed(2, |m| {
                m.size = u32::MAX;
                m.extra = extra(&[0xff; 4]);
            }),
        ),
        forged(
            "zip64 field",
            changed(2, |m| {
                m.method = 8;
                m.size = u32::MAX;
                m.extra = extra(&[0xff; 8]);
            }),
        ),
        forged(
            "zip64 field",
            changed(2, |m| {
                m.size = u32::MAX;
                m.extra = [extra(&24u64.to_le_bytes()), extra(&25u64.to_le_bytes())].concat();
            }),
        ),
    ]
}

fn contents() -> Vec<Case> {
    let with = |object: Vec<u8>| zip(&members(&object));
    let mut cases = Vec::new();
    for (says, bytes) in [
        ("a/data/1", with(state(&[("w", vector("1", 6))]))),
        ("a/data/../version", with(state(&[("w", vector("../version", 6))]))),
        ("a/data/", with(state(&[("w", vector("", 6))]))),
        ("24 bytes", with(state(&[("w", vector("0", 7))]))),
        ("24 bytes", with(state(&[("w", vector("0", 1 << 40))]))),
        ("overflows", with(state(&[("w", vector("0", i64::MAX))]))),
    ] {
        cases.push(case("storages an archive does not have", says, bytes));
    }
    for order in ["middle", "", "LITTLE", "little\0", "big endian"] {
        cases.push(case(
            "byte order unknown",
            "byteorder",
            changed(1, |m| *m = member("a/byteorder", order.as_bytes())),
        ));
    }
    cases
}

/// torch.jit archives: modules that lead to modules without end.
fn scripted() -> Vec<Case> {
    let script = |object: Vec<u8>| {
        let mut all = members(&object);
        all.push(member("a/constants.pkl", &pickle(b")")));
        all.push(member(
            "a/code/__torch__.py",
            b"class Net(Module):\n  __parameters__ = [\"w\", ]\n  __buffers__ = []\n",
        ));
        zip(&all)
    };
    let net = [global("__torch__", "Net").as_slice(), b"q\x63"].concat();
    let module = |state: &[u8]| [b"h\x63)\x81".as_slice(), state, b"b"].concat();
    let broken = |says, object: Vec<u8>| case("torch.jit modules without end", says, script(object));
    let laughs: Vec<u8> = (0..60u8)
        .flat_map(|i| {
            let state = [b"}(".as_slice(), &text("a"), &[b'h', i], &text("b"), &[b'h', i], b"u"].concat();
            [module(&state).as_slice(), &[b'q', i + 1]].concat()
        })
        .collect();
    let start = [b"\x80\x02(".as_slice(), &net, &module(b"}"), b"q\x00"].concat();
    vec![
        broken("modules", [start.as_slice(), &laughs, b"1h\x3c."].concat()),
        broken(
            "modules",
            [b"\x80\x02(".as_slice(), &net, b"1h\x63)\x81q\x00}", &text("self"), b"h\x00sb."].concat(),
        ),
        broken("no tensors", [b"\x80\x02".as_slice(), &net, b"0h\x63)\x81."].concat()),
        broken("module is expected", pickle(b"}")),
        broken("two tensors of this name", {
            let state =
                [b"}(".as_slice(), &text("w"), &vector("0", 6), &text("w"), &vector("0", 6), b"u"].concat();
            [b"\x80\x02(".as_slice(), &net, b"1", &module(&state), b"."].concat()
        }),
        broken("module is expected", pickle(&vector("0", 6))),
        broken("attributes", {
            // A thousand modules that share a state of many attributes.
            let state = [
                b"}(".as_slice(),
                &text("x"),
                b"N",
                &[text("y").as_slice(), b"N"].concat().repeat(20_000),
                b"uq\x00",
            ]
            .concat();
            let each = |i: usize| [text(&format!("m{i}")).as_slice(), b"h\x63)\x81h\x00b"].concat();
            let inner: Vec<u8> = (0..1000).flat_map(each).collect();
            [b"\x80\x02(".as_slice(), &net, &state, b"1h\x63)\x81}(", &inner, b"ub."].concat()
        }),
    ]
}
