//! What hostile files are made of: pickles opcode by opcode, archives field by field.

/// A whole number as BININT, or LONG1 where it is larger.
pub(crate) fn int(n: i64) -> Vec<u8> {
    match i32::try_from(n) {
        Ok(small) => [b"J".as_slice(), &small.to_le_bytes()].concat(),
        Err(_) => [b"\x8a\x08".as_slice(), &n.to_le_bytes()].concat(),
    }
}

/// BINUNICODE.
pub(crate) fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// GLOBAL.
pub(crate) fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

/// A tuple of whole numbers.
pub(crate) fn dims(dims: &[i64]) -> Vec<u8> {
    let inner: Vec<u8> = dims.iter().flat_map(|&n| int(n)).collect();
    [b"(".as_slice(), &inner, b"t"].concat()
}

/// A tensor over storage `key` of `count` float32, with whatever is given for offset, shape and strides.
pub(crate) fn tensor(key: &str, count: i64, offset: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
    [
        global("torch._utils", "_rebuild_tensor_v2").as_slice(),
        b"((",
        &text("storage"),
        &global("torch", "FloatStorage"),
        &text(key),
        &text("cpu"),
        &int(count),
        b"tQ",
        offset,
        shape,
        strides,
        b"\x89",
        &global("collections", "OrderedDict"),
        b")RtR",
    ]
    .concat()
}

/// A contiguous vector that fills its storage.
pub(crate) fn vector(key: &str, count: i64) -> Vec<u8> {
    tensor(key, count, &int(0), &dims(&[count]), &dims(&[1]))
}

/// A state dict as a pickle of protocol 2.
pub(crate) fn state(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let inner: Vec<u8> =
        entries.iter().flat_map(|(name, value)| [text(name), value.clone()].concat()).collect();
    [b"\x80\x02}(".as_slice(), &inner, b"u."].concat()
}

/// A whole pickle of a value.
pub(crate) fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02".as_slice(), value, b"."].concat()
}

pub(crate) fn magic() -> Vec<u8> {
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.".to_vec()
}

/// The keys as torch writes them.
pub(crate) fn keys(keys: &[&str]) -> Vec<u8> {
    let inner: Vec<u8> = keys.iter().flat_map(|k| text(k)).collect();
    [b"\x80\x02](".as_slice(), &inner, b"e."].concat()
}

/// A legacy file: object and keys as pickles, then storages with the count each claims.
pub(crate) fn legacy(object: &[u8], keys: &[u8], storages: &[(i64, usize)]) -> Vec<u8> {
    let mut file = [magic(), b"\x80\x02M\xe9\x03.".to_vec(), b"\x80\x02}.".to_vec()].concat();
    file.extend_from_slice(object);
    file.extend_from_slice(keys);
    for &(count, bytes) in storages {
        file.extend_from_slice(&count.to_le_bytes());
        file.extend((0..bytes).map(|i| i as u8));
    }
    file
}

/// A legacy file of one tensor `w` of six elements, given as its pickled value.
pub(crate) fn one(value: Vec<u8>) -> Vec<u8> {
    legacy(&state(&[("w", value)]), &keys(&["0"]), &[(6, 24)])
}

pub(crate) fn good_legacy() -> Vec<u8> {
    let object = state(&[("w", vector("0", 6)), ("v", vector("1", 3))]);
    legacy(&object, &keys(&["0", "1"]), &[(6, 24), (3, 12)])
}

/// A member of a zip archive, with everything that a header says of it.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) local_name: Option<String>,
    pub(crate) data: Vec<u8>,
    pub(crate) size: u32,
    pub(crate) crc: u32,
    pub(crate) method: u16,
    pub(crate) flags: u16,
    pub(crate) local: Option<(u16, u16, u32, u32, u32)>,
    pub(crate) extra: Vec<u8>,
    pub(crate) local_extra: Vec<u8>,
    /// Bytes between this member's data and the next header.
    pub(crate) after: Vec<u8>,
    /// Where the directory says its header is, if not where it is.
    pub(crate) at: Option<u32>,
    pub(crate) disk: u16,
}

/// A stored member.
pub(crate) fn member(name: &str, data: &[u8]) -> Member {
    let mut crc = flate2::Crc::new();
    crc.update(data);
    Member {
        name: name.into(),
        local_name: None,
        data: data.to_vec(),
        size: data.len() as u32,
        crc: crc.sum(),
        method: 0,
        flags: 0,
        local: None,
        extra: Vec::new(),
        local_extra: Vec::new(),
        after: Vec::new(),
        at: None,
        disk: 0,
    }
}

/// A deflated one.
pub(crate) fn deflated(name: &str, data: &[u8]) -> Member {
    let mut member = member(name, data);
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, data).unwrap();
    member.data = encoder.finish().unwrap();
    member.method = 8;
    member
}

/// What the end record says, if not the truth.
#[derive(Clone, Default)]
pub(crate) struct Ending {
    pub(crate) count: Option<u16>,
    pub(crate) len: Option<u32>,
    pub(crate) offset: Option<u32>,
    pub(crate) disk: u16,
    pub(crate) comment: Vec<u8>,
    /// Between the directory and the end record: a zip64 record and locator.
    pub(crate) before: Vec<u8>,
    /// Bytes between the last member and the directory.
    pub(crate) gap: Vec<u8>,
}

pub(crate) fn zip(members: &[Member]) -> Vec<u8> {
    zip_with(members, &Ending::default())
}

pub(crate) fn zip_with(members: &[Member], ending: &Ending) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for m in members {
        let at = m.at.unwrap_or(file.len() as u32);
        let local_name = m.local_name.as_ref().unwrap_or(&m.name);
        let truth = (m.flags, m.method, m.crc, m.data.len() as u32, m.size);
        let (flags, method, crc, compressed, size) = m.local.unwrap_or(truth);
        let fields = |flags: u16, method: u16, crc: u32, compressed: u32, size: u32| {
            [
                flags.to_le_bytes().as_slice(),
                &method.to_le_bytes(),
                &[0; 4],
                &crc.to_le_bytes(),
                &compressed.to_le_bytes(),
                &size.to_le_bytes(),
            ]
            .concat()
        };
        file.extend_from_slice(b"PK\x03\x04\x14\x00");
        file.extend(fields(flags, method, crc, compressed, size));
        file.extend_from_slice(&(local_name.len() as u16).to_le_bytes());
        file.extend_from_slice(&(m.local_extra.len() as u16).to_le_bytes());
        file.extend_from_slice(local_name.as_bytes());
        file.extend_from_slice(&m.local_extra);
        file.extend_from_slice(&m.data);
        file.extend_from_slice(&m.after);
        directory.extend_from_slice(b"PK\x01\x02\x14\x00\x14\x00");
        directory.extend(fields(truth.0, truth.1, truth.2, truth.3, truth.4));
        directory.extend_from_slice(&(m.name.len() as u16).to_le_bytes());
        directory.extend_from_slice(&(m.extra.len() as u16).to_le_bytes());
        directory.extend_from_slice(&[0; 2]);
        directory.extend_from_slice(&m.disk.to_le_bytes());
        directory.extend_from_slice(&[0; 6]);
        directory.extend_from_slice(&at.to_le_bytes());
        directory.extend_from_slice(m.name.as_bytes());
        directory.extend_from_slice(&m.extra);
    }
    file.extend_from_slice(&ending.gap);
    let count = ending.count.unwrap_or(members.len() as u16).to_le_bytes();
    let offset = ending.offset.unwrap_or(file.len() as u32);
    let len = ending.len.unwrap_or(directory.len() as u32);
    file.extend(directory);
    file.extend_from_slice(&ending.before);
    file.extend_from_slice(b"PK\x05\x06");
    file.extend_from_slice(&ending.disk.to_le_bytes());
    file.extend_from_slice(&[0; 2]);
    file.extend_from_slice(&count);
    file.extend_from_slice(&count);
    file.extend_from_slice(&len.to_le_bytes());
    file.extend_from_slice(&offset.to_le_bytes());
    file.extend_from_slice(&(ending.comment.len() as u16).to_le_bytes());
    file.extend_from_slice(&ending.comment);
    file
}

/// The members of a sound zip `.pth` whose pickle is given.
pub(crate) fn members(object: &[u8]) -> Vec<Member> {
    let bytes: Vec<u8> = (0..24).collect();
    vec![
        member("a/data.pkl", object),
        member("a/byteorder", b"little"),
        member("a/data/0", &bytes),
        member("a/version", b"3\n"),
    ]
}

pub(crate) fn good_members() -> Vec<Member> {
    members(&state(&[("w", vector("0", 6))]))
}

/// A safetensors file: its header as written, then so many bytes.
pub(crate) fn safe(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend((0..data).map(|i| i as u8));
    file
}

/// A `.npy` of version 1.
pub(crate) fn npy(header: &str, data: usize) -> Vec<u8> {
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend_from_slice(&(header.len() as u16).to_le_bytes());
    file.extend_from_slice(header.as_bytes());
    file.extend((0..data).map(|i| i as u8));
    file
}

pub(crate) fn good_npy() -> Vec<u8> {
    npy("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }\n", 24)
}

/// A tar archive of plain members.
pub(crate) fn tar(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (name, data) in members {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        // Written by hand: the library refuses names that leave their folder.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, data.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The members of torch 0.1's form, one tensor `w` of six float32.
pub(crate) fn tar_members() -> Vec<(&'static str, Vec<u8>)> {
    let class = |name: &str| global("torch", name);
    let mut storages = pickle(&int(1));
    storages.extend(pickle(&[b"(".as_slice(), &int(7), &text("cpu"), &class("FloatStorage"), b"t"].concat()));
    storages.extend(6i64.to_le_bytes());
    storages.extend((0..24).map(|i| i as u8));
    storages.extend(pickle(b"]"));
    let mut tensors = pickle(&int(1));
    tensors.extend(pickle(&[b"(".as_slice(), &int(0), &int(7), &class("FloatTensor"), b"t"].concat()));
    tensors.extend([1i32.to_le_bytes(), [0; 4]].concat());
    tensors.extend([6i64.to_le_bytes(), 1i64.to_le_bytes(), 0i64.to_le_bytes()].concat());
    let object = [b"\x80\x02}".as_slice(), &text("w"), &text("0"), b"Qs."].concat();
    vec![("storages", storages), ("tensors", tensors), ("pickle", object)]
}
