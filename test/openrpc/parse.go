package openrpc

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/scanner"
)

// Parse reads a table; a name that is used and not defined is an error.
func Parse(source string) (t *Table, err error) {
	p := &parser{used: make(map[string]bool)}
	p.s.Init(strings.NewReader(source))
	p.s.Mode = scanner.ScanIdents | scanner.ScanInts | scanner.ScanStrings | scanner.ScanComments | scanner.SkipComments
	p.s.Error = func(_ *scanner.Scanner, msg string) { p.fail("%s", msg) }
	defer func() {
		if e, ok := recover().(syntaxError); ok {
			t, err = nil, e
		}
	}()
	p.next()
	t = &Table{Methods: make(map[string]*Method), Errors: make(map[int]*Error), types: make(map[string]Type)}
	for p.token != scanner.EOF {
		p.definition(t)
	}
	for name := range p.used {
		if t.types[name] == nil {
			p.fail("type %s is used and not defined", name)
		}
	}
	for _, m := range t.Methods {
		for _, code := range m.Codes {
			if t.Errors[code] == nil {
				p.fail("%s: error %d is not defined", m.Name, code)
			}
		}
	}
	return t, nil
}

type syntaxError struct{ error }

// parser is a parser by recursive descent; it panics with a syntaxError.
type parser struct {
	s     scanner.Scanner
	token rune
	used  map[string]bool
}

func (p *parser) fail(format string, args ...any) {
	panic(syntaxError{fmt.Errorf("specification table, line %d: %s", p.s.Line, fmt.Sprintf(format, args...))})
}
func (p *parser) next() string {
	text := p.s.TokenText()
	p.token = p.s.Scan()
	return text
}
func (p *parser) take(token rune) string {
	if p.token != token {
		p.fail("%s instead of %s", scanner.TokenString(p.token), scanner.TokenString(token))
	}
	return p.next()
}
func (p *parser) accept(token rune) bool {
	if p.token != token {
		return false
	}
	p.next()
	return true
}
func (p *parser) quoted() string {
	s, err := strconv.Unquote(p.take(scanner.String))
	if err != nil {
		p.fail("%v", err)
	}
	return s
}
func (p *parser) int() int {
	n, err := strconv.Atoi(p.take(scanner.Int))
	if err != nil {
		p.fail("%v", err)
	}
	return n
}

func (p *parser) definition(t *Table) {
	switch word := p.take(scanner.Ident); word {
	case "error":
		e := &Error{Code: p.int(), Name: p.take(scanner.Ident), Message: p.quoted()}
		if p.token == scanner.Ident && p.s.TokenText() == "data" {
			p.next()
			e.Data = p.union()
		}
		if t.Errors[e.Code] != nil {
			p.fail("error %d is defined twice", e.Code)
		}
		t.Errors[e.Code] = e
	case "method", "notify":
		m := &Method{Name: p.take(scanner.Ident)}
		p.take('(')
		for p.token != ')' {
			f := p.field()
			m.Params = append(m.Params, Param{f.name, f.required, f.of})
			if !p.accept(',') {
				break
			}
		}
		p.take(')')
		if word == "method" {
			p.take('-')
			p.take('>')
			m.Result = p.union()
		}
		if p.accept('!') {
			for p.token == scanner.Int {
				m.Codes = append(m.Codes, p.int())
			}
		}
		if t.Methods[m.Name] != nil {
			p.fail("method %s is defined twice", m.Name)
		}
		t.Methods[m.Name] = m
	case "type":
		name := p.take(scanner.Ident)
		p.take('=')
		if t.types[name] != nil {
			p.fail("type %s is defined twice", name)
		}
		t.types[name] = p.union()
	default:
		p.fail("unknown definition %s", word)
	}
}

func (p *parser) union() Type {
	choices := one{p.intersection()}
	for p.accept('|') {
		choices = append(choices, p.intersection())
	}
	if len(choices) == 1 {
		return choices[0]
	}
	return choices
}

func (p *parser) intersection() Type {
	parts := all{p.unary()}
	for p.accept('&') {
		parts = append(parts, p.unary())
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return parts
}

func (p *parser) unary() Type {
	switch p.token {
	case '!':
		p.next()
		return not{p.unary()}
	case '[':
		p.next()
		of := p.union()
		length := -1
		if p.accept(';') {
			length = p.int()
		}
		p.take(']')
		return list{of, length}
	case '(':
		p.next()
		of := p.union()
		p.take(')')
		return of
	case '{':
		p.next()
		fields := object{}
		for p.token != '}' {
			fields = append(fields, p.field())
			if !p.accept(';') {
				break
			}
		}
		p.take('}')
		return fields
	case scanner.String:
		return literal(p.quoted())
	}
	switch name := p.take(scanner.Ident); name {
	case "text":
		if p.token != scanner.String {
			return text{}
		}
		pattern, err := regexp.Compile(p.quoted())
		if err != nil {
			p.fail("%v", err)
		}
		return text{pattern}
	case "int":
		n := number{whole: true}
		if p.accept('>') {
			p.take('=')
			n.bounded, n.least = true, float64(p.int())
		}
		return n
	case "num":
		return number{}
	case "bool":
		return boolean{}
	default:
		p.used[name] = true
		return named(name)
	}
}

func (p *parser) field() field {
	name := p.take(scanner.Ident)
	optional := p.accept('?')
	return field{name, !optional, p.union()}
}
