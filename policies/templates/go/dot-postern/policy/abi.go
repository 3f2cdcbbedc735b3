package policy

import "unsafe"

// Records of the contract lie in memory as the canonical ABI of WebAssembly components has them: words of 32 bits, little
// endian. The offsets are the contract's.

// said is where the manifest is; decided answers a request with what the world's decide returns.
var (
	said    uint32
	decided func(*Request) uint32
)

//go:wasmexport describe
func describe() uint32 { return said }

//go:wasmexport decide
func decide(request uint32) uint32 { return decided(read(record(request))) }

// kept holds what only the host has an address of.
var kept []any

// reallocate is the host's way to put a request into memory. Every piece is aligned to 8 bytes, and none is freed.
//
//go:wasmexport cabi_realloc
func reallocate(old, oldSize, align, size uint32) uint32 {
	if size == 0 {
		return align
	}
	piece := make([]uint64, (size+7)/8)
	kept = append(kept, piece)
	to := unsafe.Slice((*byte)(unsafe.Pointer(&piece[0])), size)
	if oldSize != 0 {
		copy(to, unsafe.Slice((*byte)(at(old)), min(oldSize, size)))
	}
	return uint32(uintptr(unsafe.Pointer(&piece[0])))
}

func at(address uint32) unsafe.Pointer { return unsafe.Pointer(uintptr(address)) }

// record is the address of one.
type record uint32

func (r record) byte(offset uint32) uint8  { return *(*uint8)(at(uint32(r) + offset)) }
func (r record) word(offset uint32) uint32 { return *(*uint32)(at(uint32(r) + offset)) }

// text reads a string, which stays where the host has put it.
func (r record) text(offset uint32) string {
	return unsafe.String((*byte)(at(r.word(offset))), r.word(offset+4))
}

func (r record) optional(offset uint32) *string {
	if r.byte(offset) == 0 {
		return nil
	}
	text := r.text(offset + 4)
	return &text
}

// elements reads a list, whose elements have this size each.
func elements[T any](r record, offset, size uint32, read func(record) T) []T {
	first, count := r.word(offset), r.word(offset+4)
	list := make([]T, count)
	for index := range count {
		list[index] = read(record(first + index*size))
	}
	return list
}

func pair(r record) Pair { return Pair{r.text(0), r.text(8)} }

func read(r record) *Request {
	request := &Request{
		Subject: Subject{
			ID:      r.text(0),
			Kind:    SubjectKind(r.byte(8)),
			Org:     r.text(12),
			OrgRole: r.optional(20),
			AppRole: r.optional(32),
			EnvTypeRoles: elements(r, 44, 20, func(own record) EnvTypeRole {
				return EnvTypeRole{own.text(0), own.optional(8)}
			}),
		},
		Operation: Operation{
			ID:         r.text(52),
			Permission: r.text(60),
			Method:     r.text(68),
			Path:       r.text(76),
			Parameters: elements(r, 84, 16, pair),
		},
		Inputs: Inputs{
			SourceAddress: r.optional(112),
			Headers:       elements(r, 124, 16, pair),
			Query:         r.optional(132),
			JSONBody:      r.optional(144),
		},
		Settings: r.optional(160),
	}
	if r.byte(96) != 0 {
		time := *(*uint64)(at(uint32(r) + 104))
		request.Inputs.TimeMS = &time
	}
	return request
}

// written is a record that is made here.
type written struct{ memory []byte }

func newRecord(size, align uint32) written {
	address := reallocate(0, 0, align, size)
	return written{unsafe.Slice((*byte)(at(address)), size)}
}

func (w written) address() uint32 { return uint32(uintptr(unsafe.Pointer(&w.memory[0]))) }

func (w written) word(offset, value uint32) {
	*(*uint32)(unsafe.Pointer(&w.memory[offset])) = value
}

func (w written) text(offset uint32, text string) {
	kept = append(kept, text)
	w.word(offset, uint32(uintptr(unsafe.Pointer(unsafe.StringData(text)))))
	w.word(offset+4, uint32(len(text)))
}

// octets writes a list of what takes one byte each.
func octets[T ~uint8](w written, offset uint32, values []T) {
	text := make([]byte, len(values))
	for index, value := range values {
		text[index] = byte(value)
	}
	w.text(offset, string(text))
}

func encoded(manifest Manifest, kind uint8) uint32 {
	inputs := newRecord(uint32(len(manifest.Inputs))*12, 4)
	for index, input := range manifest.Inputs {
		offset := uint32(index) * 12
		inputs.memory[offset] = input.kind
		inputs.text(offset+4, input.header)
	}
	w := newRecord(56, 4)
	w.text(0, manifest.Name)
	w.text(8, manifest.Version)
	w.memory[16] = kind
	octets(w, 20, manifest.Scopes)
	octets(w, 28, manifest.SubjectKinds)
	if len(manifest.Inputs) > 0 {
		w.word(36, inputs.address())
		w.word(40, uint32(len(manifest.Inputs)))
	}
	if manifest.SettingsSchema != "" {
		w.memory[44] = 1
		w.text(48, manifest.SettingsSchema)
	}
	return w.address()
}
