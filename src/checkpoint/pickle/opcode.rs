//! Every opcode of pickle protocols 0 to 5, by byte, name and the protocol it came with. The machine and the
//! tests (which compare with what Python's `pickletools` sees in real files) read this one table.

/// An opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opcode {
    /// The byte.
    pub code: u8,
    /// `pickletools`' name.
    pub name: &'static str,
    /// The first protocol that has it.
    pub protocol: u8,
}

const fn op(code: u8, name: &'static str, protocol: u8) -> Opcode {
    Opcode { code, name, protocol }
}

/// All of them.
pub const OPCODES: &[Opcode] = &[
    op(MARK, "MARK", 0),
    op(STOP, "STOP", 0),
    op(POP, "POP", 0),
    op(POP_MARK, "POP_MARK", 1),
    op(DUP, "DUP", 0),
    op(FLOAT, "FLOAT", 0),
    op(INT, "INT", 0),
    op(BININT, "BININT", 1),
    op(BININT1, "BININT1", 1),
    op(LONG, "LONG", 0),
    op(BININT2, "BININT2", 1),
    op(NONE, "NONE", 0),
    op(PERSID, "PERSID", 0),
    op(BINPERSID, "BINPERSID", 1),
    op(REDUCE, "REDUCE", 0),
    op(STRING, "STRING", 0),
    op(BINSTRING, "BINSTRING", 1),
    op(SHORT_BINSTRING, "SHORT_BINSTRING", 1),
    op(UNICODE, "UNICODE", 0),
    op(BINUNICODE, "BINUNICODE", 1),
    op(APPEND, "APPEND", 0),
    op(BUILD, "BUILD", 0),
    op(GLOBAL, "GLOBAL", 0),
    op(DICT, "DICT", 0),
    op(EMPTY_DICT, "EMPTY_DICT", 1),
    op(APPENDS, "APPENDS", 1),
    op(GET, "GET", 0),
    op(BINGET, "BINGET", 1),
    op(INST, "INST", 0),
    op(LONG_BINGET, "LONG_BINGET", 1),
    op(LIST, "LIST", 0),
    op(EMPTY_LIST, "EMPTY_LIST", 1),
    op(OBJ, "OBJ", 1),
    op(PUT, "PUT", 0),
    op(BINPUT, "BINPUT", 1),
    op(LONG_BINPUT, "LONG_BINPUT", 1),
    op(SETITEM, "SETITEM", 0),
    op(TUPLE, "TUPLE", 0),
    op(EMPTY_TUPLE, "EMPTY_TUPLE", 1),
    op(SETITEMS, "SETITEMS", 1),
    op(BINFLOAT, "BINFLOAT", 1),
    op(PROTO, "PROTO", 2),
    op(NEWOBJ, "NEWOBJ", 2),
    op(EXT1, "EXT1", 2),
    op(EXT2, "EXT2", 2),
    op(EXT4, "EXT4", 2),
    op(TUPLE1, "TUPLE1", 2),
    op(TUPLE2, "TUPLE2", 2),
    op(TUPLE3, "TUPLE3", 2),
    op(NEWTRUE, "NEWTRUE", 2),
    op(NEWFALSE, "NEWFALSE", 2),
    op(LONG1, "LONG1", 2),
    op(LONG4, "LONG4", 2),
    op(BINBYTES, "BINBYTES", 3),
    op(SHORT_BINBYTES, "SHORT_BINBYTES", 3),
    op(SHORT_BINUNICODE, "SHORT_BINUNICODE", 4),
    op(BINUNICODE8, "BINUNICODE8", 4),
    op(BINBYTES8, "BINBYTES8", 4),
    op(EMPTY_SET, "EMPTY_SET", 4),
    op(ADDITEMS, "ADDITEMS", 4),
    op(FROZENSET, "FROZENSET", 4),
    op(NEWOBJ_EX, "NEWOBJ_EX", 4),
    op(STACK_GLOBAL, "STACK_GLOBAL", 4),
    op(MEMOIZE, "MEMOIZE", 4),
    op(FRAME, "FRAME", 4),
    op(BYTEARRAY8, "BYTEARRAY8", 5),
    op(NEXT_BUFFER, "NEXT_BUFFER", 5),
    op(READONLY_BUFFER, "READONLY_BUFFER", 5),
];

/// The opcode of a byte.
pub fn of(code: u8) -> Option<Opcode> {
    OPCODES.iter().find(|o| o.code == code).copied()
}

pub(super) const MARK: u8 = b'(';
pub(super) const STOP: u8 = b'.';
pub(super) const POP: u8 = b'0';
pub(super) const POP_MARK: u8 = b'1';
pub(super) const DUP: u8 = b'2';
pub(super) const FLOAT: u8 = b'F';
pub(super) const INT: u8 = b'I';
pub(super) const BININT: u8 = b'J';
pub(super) const BININT1: u8 = b'K';
pub(super) const LONG: u8 = b'L';
pub(super) const BININT2: u8 = b'M';
pub(super) const NONE: u8 = b'N';
pub(super) const PERSID: u8 = b'P';
pub(super) const BINPERSID: u8 = b'Q';
pub(super) const REDUCE: u8 = b'R';
pub(super) const STRING: u8 = b'S';
pub(super) const BINSTRING: u8 = b'T';
pub(super) const SHORT_BINSTRING: u8 = b'U';
pub(super) const UNICODE: u8 = b'V';
pub(super) const BINUNICODE: u8 = b'X';
pub(super) const APPEND: u8 = b'a';
pub(super) const BUILD: u8 = b'b';
pub(super) const GLOBAL: u8 = b'c';
pub(super) const DICT: u8 = b'd';
pub(super) const EMPTY_DICT: u8 = b'}';
pub(super) const APPENDS: u8 = b'e';
pub(super) const GET: u8 = b'g';
pub(super) const BINGET: u8 = b'h';
pub(super) const INST: u8 = b'i';
pub(super) const LONG_BINGET: u8 = b'j';
pub(super) const LIST: u8 = b'l';
pub(super) const EMPTY_LIST: u8 = b']';
pub(super) const OBJ: u8 = b'o';
pub(super) const PUT: u8 = b'p';
pub(super) const BINPUT: u8 = b'q';
pub(super) const LONG_BINPUT: u8 = b'r';
pub(super) const SETITEM: u8 = b's';
pub(super) const TUPLE: u8 = b't';
pub(super) const EMPTY_TUPLE: u8 = b')';
pub(super) const SETITEMS: u8 = b'u';
pub(super) const BINFLOAT: u8 = b'G';
pub(super) const PROTO: u8 = 0x80;
pub(super) const NEWOBJ: u8 = 0x81;
pub(super) const EXT1: u8 = 0x82;
pub(super) const EXT2: u8 = 0x83;
pub(super) const EXT4: u8 = 0x84;
pub(super) const TUPLE1: u8 = 0x85;
pub(super) const TUPLE2: u8 = 0x86;
pub(super) const TUPLE3: u8 = 0x87;
pub(super) const NEWTRUE: u8 = 0x88;
pub(super) const NEWFALSE: u8 = 0x89;
pub(super) const LONG1: u8 = 0x8a;
pub(super) const LONG4: u8 = 0x8b;
pub(super) const BINBYTES: u8 = b'B';
pub(super) const SHORT_BINBYTES: u8 = b'C';
pub(super) const SHORT_BINUNICODE: u8 = 0x8c;
pub(super) const BINUNICODE8: u8 = 0x8d;
pub(super) const BINBYTES8: u8 = 0x8e;
pub(super) const EMPTY_SET: u8 = 0x8f;
pub(super) const ADDITEMS: u8 = 0x90;
pub(super) const FROZENSET: u8 = 0x91;
pub(super) const NEWOBJ_EX: u8 = 0x92;
pub(super) const STACK_GLOBAL: u8 = 0x93;
pub(super) const MEMOIZE: u8 = 0x94;
pub(super) const FRAME: u8 = 0x95;
pub(super) const BYTEARRAY8: u8 = 0x96;
pub(super) const NEXT_BUFFER: u8 = 0x97;
pub(super) const READONLY_BUFFER: u8 = 0x98;
