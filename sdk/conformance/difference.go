package conformance

import (
	"bytes"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// difference names the first field in which two messages of one type differ, with both values, bytes in hex; "" when none does.
func difference(got, want proto.Message) string {
	if proto.Equal(got, want) {
		return ""
	}
	return differ("", got.ProtoReflect(), want.ProtoReflect())
}

func differ(path string, got, want protoreflect.Message) string {
	fields := got.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		at := strings.TrimPrefix(path+"."+string(f.Name()), ".")
		switch {
		case f.IsMap():
			if !got.Get(f).Equal(want.Get(f)) {
				return fmt.Sprintf("%s: got %v, want %v", at, got.Get(f), want.Get(f))
			}
		case f.IsList():
			if text := differInList(at, f, got.Get(f).List(), want.Get(f).List()); text != "" {
				return text
			}
		case f.Message() != nil:
			if got.Has(f) != want.Has(f) {
				return fmt.Sprintf("%s: got %s, want %s", at, presence(got.Has(f)), presence(want.Has(f)))
			}
			if text := differ(at, got.Get(f).Message(), want.Get(f).Message()); text != "" {
				return text
			}
		case f.Kind() == protoreflect.BytesKind && len(got.Get(f).Bytes()) > 32 && len(want.Get(f).Bytes()) > 32:
			if text := differInFelts(at, got.Get(f).Bytes(), want.Get(f).Bytes()); text != "" {
				return text
			}
		case !got.Get(f).Equal(want.Get(f)) || got.Has(f) != want.Has(f):
			return fmt.Sprintf("%s: got %s, want %s", at, show(f, got.Get(f)), show(f, want.Get(f)))
		}
	}
	return ""
}

// differInFelts finds the first of packed felts that differs.
func differInFelts(at string, got, want []byte) string {
	for k := 0; k < min(len(got), len(want)); k += 32 {
		g, w := got[k:min(k+32, len(got))], want[k:min(k+32, len(want))]
		if !bytes.Equal(g, w) {
			return fmt.Sprintf("%s, felt %d: got 0x%x, want 0x%x", at, k/32, g, w)
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%s: got %d bytes, want %d", at, len(got), len(want))
	}
	return ""
}

func differInList(at string, f protoreflect.FieldDescriptor, got, want protoreflect.List) string {
	for k := range min(got.Len(), want.Len()) {
		place := fmt.Sprintf("%s[%d]", at, k)
		if f.Message() != nil {
			if text := differ(place, got.Get(k).Message(), want.Get(k).Message()); text != "" {
				return text
			}
		} else if !got.Get(k).Equal(want.Get(k)) {
			return fmt.Sprintf("%s: got %s, want %s", place, show(f, got.Get(k)), show(f, want.Get(k)))
		}
	}
	if got.Len() != want.Len() {
		return fmt.Sprintf("%s: got %d of them, want %d", at, got.Len(), want.Len())
	}
	return ""
}

func presence(there bool) string {
	if there {
		return "one"
	}
	return "none"
}

// show writes a value for a person: bytes in hex, packed felts one by one as far as there is room.
func show(f protoreflect.FieldDescriptor, v protoreflect.Value) string {
	const most = 4 * 32
	switch f.Kind() {
	case protoreflect.BytesKind:
		b := v.Bytes()
		if len(b) == 0 {
			return "nothing"
		}
		if len(b) > most {
			return fmt.Sprintf("0x%x... (%d bytes)", b[:most], len(b))
		}
		return fmt.Sprintf("0x%x", b)
	case protoreflect.StringKind:
		return fmt.Sprintf("%q", v.String())
	case protoreflect.EnumKind:
		if name := f.Enum().Values().ByNumber(v.Enum()); name != nil {
			return string(name.Name())
		}
	}
	return v.String()
}

// hexed writes the fields of a message that are set, bytes in hex, in the order of their declaration: protobuf's own Range has
// another order in each build of a program.
func hexed(m proto.Message) string {
	if m == nil || !m.ProtoReflect().IsValid() {
		return "nothing"
	}
	var fields []string
	message := m.ProtoReflect()
	declared := message.Descriptor().Fields()
	for i := range declared.Len() {
		f := declared.Get(i)
		if !message.Has(f) {
			continue
		}
		v, text := message.Get(f), ""
		switch {
		case f.IsList():
			text = fmt.Sprintf("%d of them", v.List().Len())
		case f.IsMap():
			text = fmt.Sprintf("%d of them", v.Map().Len())
		case f.Message() != nil:
			text = "{" + hexed(v.Message().Interface()) + "}"
		default:
			text = show(f, v)
		}
		fields = append(fields, string(f.Name())+": "+text)
	}
	if len(fields) == 0 {
		return "an empty " + string(m.ProtoReflect().Descriptor().Name())
	}
	return strings.Join(fields, ", ")
}
