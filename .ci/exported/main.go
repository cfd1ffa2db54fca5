// Command exported counts the exported identifiers of the library: its
// top-level names, the methods of its types and interfaces, and the fields of
// its structs. With -unused it lists those that are of no use to others: no
// other package of the library, no example and no Example function names them,
// nor are they the types of what is named, or methods of an interface. With -max it fails if there
// are more than that many. With -lines it also counts the lines of the
// library without tests and helpers of tests.
//
// Run it from the root of the repository: go run ./.ci/exported
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/types"
	"log"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

const module = "github.com/aspupdate/aspupdate"

func main() {
	log.SetFlags(0)
	most := flag.Int("max", 0, "fail above this number of exported identifiers; 0 means never")
	unused := flag.Bool("unused", false, "list what no other package, no example, and no Example function uses")
	lines := flag.Bool("lines", false, "count lines as well")
	flag.Parse()

	s := scan{exported: map[string]map[string]types.Object{}, used: map[string]bool{}}
	s.addInterfaces(s.load(".", "./...", "./examples/..."))
	s.load("examples/peers", "./...")
	s.addTypes()

	total, idle := 0, 0
	for _, path := range slices.Sorted(maps.Keys(s.exported)) {
		var names []string
		for name := range s.exported[path] {
			if !s.used[path+"."+name] {
				names = append(names, name)
			}
		}
		total, idle = total+len(s.exported[path]), idle+len(names)
		fmt.Printf("%4d exported, %4d used by nothing else  %s\n", len(s.exported[path]), len(names), strings.TrimPrefix(path, module+"/"))
		if *unused {
			slices.Sort(names)
			for _, name := range names {
				fmt.Printf("       %s\n", name)
			}
		}
	}
	fmt.Printf("%4d exported, %4d used by nothing else  in all\n", total, idle)
	if *lines {
		fmt.Printf("%d lines\n", countLines())
	}
	if *most > 0 && total > *most {
		log.Fatalf("more than %d exported identifiers", *most)
	}
}

// isLibrary reports whether others can import the package at path and are
// meant to: what is for tests does not count.
func isLibrary(path string) bool {
	path, found := strings.CutPrefix(path, module+"/")
	return found && !strings.HasPrefix(path, "examples/") && !strings.Contains("/"+path+"/", "/internal/") &&
		!strings.HasSuffix(path, "/fetchtest") && !strings.HasSuffix(path, "/backuptest") && !strings.HasSuffix(path, "_test") && !strings.HasSuffix(path, ".test")
}

type scan struct {
	exported map[string]map[string]types.Object // by package path, then by name, Type.Method or Type.Field
	used     map[string]bool                    // package path.name
}

// load adds packages. Objects of two loads are different values: all is
// compared by name.
func (s scan) load(dir string, patterns ...string) []*packages.Package {
	cfg := &packages.Config{
		Dir:   dir,
		Tests: true,
		Mode:  packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports | packages.NeedDeps,
	}
	if dir != "." {
		cfg.Env = append(os.Environ(), "GOWORK=off")
	}
	list, err := packages.Load(cfg, patterns...)
	if err != nil {
		log.Fatal(err)
	}
	if packages.PrintErrors(list) > 0 {
		os.Exit(1)
	}
	for _, p := range list {
		if p.ID == p.PkgPath && isLibrary(p.PkgPath) { // and not a variant for tests
			s.addExported(p.Types)
		}
		for _, f := range p.Syntax {
			name := p.Fset.Position(f.Pos()).Filename
			if !strings.HasSuffix(name, "_test.go") {
				s.addUses(p, f)
				continue
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Example") {
					s.addUses(p, fn)
				}
			}
		}
	}
	return list
}

// addInterfaces notes the methods that others may call through an interface:
// one of the library's, or one of the standard library's that is called
// behind the scenes.
func (s scan) addInterfaces(list []*packages.Package) {
	faces := []*types.Interface{types.Universe.Lookup("error").Type().Underlying().(*types.Interface)}
	add := func(p *types.Package) {
		for _, name := range p.Scope().Names() {
			if t, ok := p.Scope().Lookup(name).(*types.TypeName); ok && t.Exported() && types.IsInterface(t.Type()) {
				if face := t.Type().Underlying().(*types.Interface); face.IsMethodSet() && face.NumMethods() > 0 {
					faces = append(faces, face)
				}
			}
		}
	}
	behind := []string{"fmt", "io", "io/fs", "encoding", "encoding/json", "flag", "database/sql", "database/sql/driver"}
	packages.Visit(list, nil, func(p *packages.Package) {
		if slices.Contains(behind, p.PkgPath) || p.ID == p.PkgPath && isLibrary(p.PkgPath) {
			add(p.Types)
		}
	})
	for _, p := range list {
		if p.ID != p.PkgPath || !isLibrary(p.PkgPath) {
			continue
		}
		for _, name := range p.Types.Scope().Names() {
			t, ok := p.Types.Scope().Lookup(name).(*types.TypeName)
			if !ok || types.IsInterface(t.Type()) {
				continue
			}
			for _, wrap := range []string{"Unwrap", "Is", "As"} { // the errors package calls them
				s.used[p.PkgPath+"."+name+"."+wrap] = true
			}
			for _, face := range faces {
				if types.Implements(types.NewPointer(t.Type()), face) {
					for m := range face.Methods() {
						s.used[p.PkgPath+"."+name+"."+m.Name()] = true
					}
				}
			}
		}
	}
}

func (s scan) addExported(p *types.Package) {
	names := map[string]types.Object{}
	s.exported[p.Path()] = names
	for _, name := range p.Scope().Names() {
		obj := p.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		names[name] = obj
		t, ok := obj.(*types.TypeName)
		if !ok || t.IsAlias() {
			continue
		}
		add := func(member types.Object) {
			if member.Exported() {
				names[name+"."+member.Name()] = member
			}
		}
		named := t.Type().(*types.Named)
		for m := range named.Methods() {
			add(m)
		}
		switch u := named.Underlying().(type) {
		case *types.Struct:
			for f := range u.Fields() {
				add(f)
			}
		case *types.Interface:
			for m := range u.ExplicitMethods() {
				add(m)
			}
		}
	}
}

// addTypes notes the types of all that is used: of fields, parameters and
// results.
func (s scan) addTypes() {
	var seen map[types.Type]bool
	var add func(t types.Type)
	add = func(t types.Type) {
		if seen[t] {
			return
		}
		seen[t] = true
		switch t := t.(type) {
		case *types.Named:
			if o := t.Obj(); o.Pkg() != nil {
				s.used[o.Pkg().Path()+"."+o.Name()] = true
			}
			for arg := range t.TypeArgs().Types() {
				add(arg)
			}
		case *types.Alias:
			if o := t.Obj(); o.Pkg() != nil {
				s.used[o.Pkg().Path()+"."+o.Name()] = true
			}
			add(t.Rhs())
		case *types.Signature:
			for v := range t.Params().Variables() {
				add(v.Type())
			}
			for v := range t.Results().Variables() {
				add(v.Type())
			}
		case *types.Map:
			add(t.Key())
			add(t.Elem())
		case interface{ Elem() types.Type }: // a pointer, slice, array or channel
			add(t.Elem())
		}
	}
	for before := -1; before != len(s.used); {
		before, seen = len(s.used), map[types.Type]bool{}
		for path, names := range s.exported {
			for name, obj := range names {
				if _, isType := obj.(*types.TypeName); !isType && s.used[path+"."+name] {
					add(obj.Type())
				}
			}
		}
	}
}

// addUses notes what a package other than its own uses. Example functions of
// the same package show what they use as well.
func (s scan) addUses(p *packages.Package, in ast.Node) {
	_, example := in.(*ast.FuncDecl)
	note := func(owner types.Type, obj types.Object) {
		if obj.Pkg() == nil || obj.Pkg().Path() == strings.TrimSuffix(p.PkgPath, "_test") && !example {
			return
		}
		name := obj.Name()
		if owner != nil {
			named := namedOf(owner)
			if named == nil || named.Obj().Pkg() == nil {
				return
			}
			name = named.Obj().Name() + "." + name
		}
		s.used[obj.Pkg().Path()+"."+name] = true
	}
	ast.Inspect(in, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if sel := p.TypesInfo.Selections[n]; sel != nil {
				noteSelection(sel, note)
			}
		case *ast.CompositeLit:
			t := p.TypesInfo.TypeOf(n)
			named := namedOf(t)
			if named == nil {
				break
			}
			st, ok := named.Underlying().(*types.Struct)
			if !ok {
				break
			}
			for i, e := range n.Elts {
				field := st.Field(min(i, st.NumFields()-1))
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					if field, ok = p.TypesInfo.Uses[kv.Key.(*ast.Ident)].(*types.Var); !ok {
						continue
					}
				}
				note(named, field)
			}
		case *ast.Ident:
			if obj := p.TypesInfo.Uses[n]; obj != nil && obj.Pkg() != nil && obj.Parent() == obj.Pkg().Scope() {
				note(nil, obj)
			}
		}
		return true
	})
}

// noteSelection notes a field or a method, and the embedded fields on the way
// to it.
func noteSelection(sel *types.Selection, note func(types.Type, types.Object)) {
	t := sel.Recv()
	for _, i := range sel.Index()[:len(sel.Index())-1] {
		st, ok := deref(t).Underlying().(*types.Struct)
		if !ok {
			return
		}
		note(t, st.Field(i))
		t = st.Field(i).Type()
	}
	note(t, sel.Obj())
}

func deref(t types.Type) types.Type {
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		return p.Elem()
	}
	return t
}

func namedOf(t types.Type) *types.Named {
	n, _ := types.Unalias(deref(t)).(*types.Named)
	if n != nil {
		n = n.Origin()
	}
	return n
}

// countLines counts the lines of Go files of the library that are no tests.
func countLines() int {
	out, err := exec.Command("git", "ls-files", "*.go").Output()
	if err != nil {
		log.Fatal(err)
	}
	n := 0
	for name := range strings.FieldsSeq(string(out)) {
		other := strings.HasPrefix(name, "examples/") || strings.HasPrefix(name, ".ci/") || strings.HasSuffix(name, "_test.go")
		for _, helper := range []string{"fetch/fetchtest/", "backup/backuptest/", "internal/realtest/", "internal/crashfs/"} {
			other = other || strings.HasPrefix(name, helper)
		}
		if other {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			log.Fatal(err)
		}
		n += bytes.Count(b, []byte("\n"))
	}
	return n
}
