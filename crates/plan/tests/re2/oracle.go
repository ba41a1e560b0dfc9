// Writes what Go's regexp package makes of expressions, which the tests beside it compare with:
//
//	go run crates/plan/tests/re2/oracle.go > crates/plan/tests/re2/expected.jsonl
//
// The first line has the texts. Each other line has an expression and either the error, or for each text the first match:
// the offsets of the match and of its groups. The expressions are those written here and as many made up from pieces, the
// same each time. Two things are not asked: an empty match amid the bytes of a character, which RE2 itself finds, and groups
// that are repeated no times, which the regex crate does not count.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"regexp"
	"strings"
)

const madeUp = 2500

var texts = []string{
	"", "a", "b", "ab", "ba", "aab", "abab", "aaaa", "A", "aB", "a.b", "a\nb", "\n", "b\n", " ", "\v", "\t\r", "0", "a1_", "\u0663",
	"é", "k", "K", "\u212a", "ſs", "/api/{id}", "a{,5}", "{}", "]", "a&&b", "a-b~", "[a]", "^$", `a\Eb`, "Ωω", "\u0085\u00a0",
}

var written = []string{
	`/api/{id}`, `a{,5}`, `{`, `\Qa.b\E`, `a**`, `(a){2}{3}`, `a{1001}`, `a{1001}?`, `a*{1001}`, `{1001}`, `a{2}{3}?`, `(?x)a b`, `\<a`, `\>`, `\u0041`, `(?-u)a`, `(?R)a`,
	`[a&&b]`, `[[a]]`, `[a--b]`, `[a~~b]`, `\d`, `\w`, `\s`, `\b`, `\D`, `\W`, `\S`, `\B`, `[\d\s]`, `[^\w]`, `[\W\d]`, `(?i)\W`,
	`(?i)[^\W]`, `(?i)k`, `(?i)s`, `(?i)ω`, `(?i)[a-z]`, `(?i)[^a-z]`, `(?i)\p{Lu}`, `(?i)\P{Lu}`, `(?i)[^\P{Lu}]`, `(?i)[[:upper:]]`,
	`(?i)[[:^upper:]]`, `a$`, `^b`, `(?m)^b`, `(?m)a$`, `(?m)^$`, `(?s).`, `.`, `(?s)a.b`, `(?-s).`, `(?m-m)a$`, `(?U)a+`, `(?U)a+?`,
	`(?U)(a{1,2})`, `(?P<n>a)`, `(?<n>a)`, `(?P<1>a)`, `(?<>a)`, `(?P<n`, `(?P<n-m>a)`, `(?P<`, `(?<`, `(?P=n)`, `(?=a)`, `(?!a)`, `(?#a)`,
	`(?ii)A`, `(?i-i)A`, `(?)a`, `(?-)a`, `(?-:a)`, `(?i:A)b`, `(?i-s:A).`, `(?--i)`, `(?i`, `(?`, `(`, `)`, `a)`, `(a`, `()`, `(|a)`, `a|`, `|`,
	`(a|)b`, `(a|b)*`, `(?i)(A)|B`, `a(?i)B|C`, `(a(?i)B)B`, `*`, `+a`, `?`, `{2}`, `a|*`, `(*a)`, `(?:*)`, `^*`, `$+`, `\b?`, `a*?`, `a+?`, `a??`,
	`a*+`, `a+*?`, `a{2}*`, `a*{2}`, `a{2}?`, `a{2,}?`, `a{2,1}`, `a{0}`, `a{0,0}b`, `a{00}`, `a{01}`, `a{1,01}`, `a{1`, `a{1,`, `a{1,2`, `a{}`,
	`a{1000}`, `a{1000,}`, `a{1001,}`, `a{0,1001}`, `a{99999999999}`, `a{1,99999999999}`, `(a{100}){10}`, `(a{100}){11}`, `((a{10}){10}){10}`,
	`((a{10}){11}){10}`, `(?:a{600}){0}`, `((?:a{600}){0}){600}`, `(a*){1000}`, `(a{2,}){501}`, `(a{0,}){1000}`, `(a{30}|b{34}){30}`,
	`a(?i)*`, `a*(?i)*`, `a*(?i)+(?s)?`, `(?i)*`, `(a*(?i)*)`, `a\Q\E*`, `a*\Q\E*`, `\Qab\E*`, `\Q\E*`, `\Qa`, `\Q\`, `\Qa\Eb\E`, `\Q`, `\E`,
	`\`, `a\`, `\8`, `\1`, `\07`, `\12`, `\101`, `\1010`, `\0`, `\00`, `\400`, `\777`, `\x`, `\x4`, `\x41`, `\x{41}`, `\x{}`, `\x{41`, `\x{4g}`, `\x{110000}`,
	`\x{10FFFF}`, `\x{D800}`, `a|\x{DFFF}`, `[\x{D800}]`, `[^\x{D800}]`, `[a-\x{D800}]`, `[\x{D900}-é]`, `[\x{D000}-\x{DA00}]`, `\x4é`, `\xé4`, `\a\f\n\r\t\v`,
	`\v`, `[\v]`, `\e`, `\c`, `\C`, `\Z`, `\z`, `\A`, `\G`, `\h`, `\R`, `\X`, `\k<n>`, `\_`, `\-`, `\ `, `\"`, `\/`, `\@`, `\é`, `[\é]`, `\p`, `\pN`, `\pL`, `\PL`,
	`\p{L}`, `\p{^L}`, `\P{^L}`, `\p{Greek}`, `\p{^Greek}`, `\P{Greek}`, `\p{greek}`, `\p{Grek}`, `\p{sc=Greek}`, `\p{Script=Greek}`, `\p{Alphabetic}`,
	`\p{Any}`, `\P{Any}`, `\p{ASCII}`, `\p{Assigned}`, `\p{Lc}`, `\p{Letter}`, `\p{L_u}`, `\p{}`, `\p{^}`, `\p{L`, `\pé`, `\p{Cs}`, `\P{Cs}`, `[\p{Cs}a]`, `[^\p{Cs}]`,
	`[\pN\pL]`, `[^\pN]`, `[\p]`, `\p{Latin}`, `\p{Han}`, `\p{LowercaseLetter}`, `\p{punct}`, `\p{digit}`, `[[:alpha:]]`, `[[:^alpha:]]`, `[^[:alpha:]]`,
	`[[:word:]-]`, `[[:foo:]]`, `[[:^^alpha:]]`, `[[:ALPHA:]]`, `[[:alpha:]`, `[[:alpha]`, `[:alpha:]`, `[[:`, `[[:]`, `[[:a]b:]`, `[[.a.]]`, `[[=a=]]`, `[`, `[]`,
	`[]a]`, `[^]a]`, `[^]`, `[a`, `[a-`, `[a-]`, `[-a]`, `[a-b-c]`, `[--0]`, `[+--]`, `[b-a]`, `[a-\d]`, `[\d-a]`, `[a-[:digit:]]`, `[\b]`, `[\A]`, `[\Q]`, `[\]]`,
	`[a\]`, `[\`, `[^\n]`, `[^a]`, `[\s\S]`, `[^\s\S]`, `[#]`, `[ ]`, `#`, `a # b`, `[a&]`, `[&&]`, `[a&&&b]`, `[~]`, `[~~]`, `[a-~]`, `[é-Ω]`, `é*`, `(?i)É`, `(?i)ſ`,
	`}`, `]`, `a]`, `-`, `~`, `&`, `a&&b`, `a{,}`, `{a}`, `{1}a`, `a{1}{`, `a{{1}`, `(?i){`, `\{`, `\}`, `\]`, `(?i)[k]`, `(?i)[\x{212a}]`, `(?i)[^k]`, `(?i)\x{212a}`,
	`^(?:/v[0-9]+)?/orders/([^/]+)$`, `^/p(/.*|\?.*|#.*|;.*|$)`, `(?i)^bearer\s+(\S+)`, `[^/]+/[^/]+`, `(?:a|ab)(?:c|bcd)?`, `(a+)(b+)?`, `(?s:.)*?b`,
	`(a*)*`, `(a*)+`, `(a|b)??`, `x*`, `(?:)`, `(?:)*`, `(?:a*)*`, `((?:))`, `(?i:)`, `\b(a)\b`, `\Ba`, `a\B`, `(?i)\bK\b`, `\bé`, `(a)(b)?(c)?`,
}

var pieces = []string{
	"a", "b", "k", "é", "/", ".", "\n", " ", "{", "}", "]", "-", "&", "~", "0", "(", "(", "(?:", "(?i:", "(?s:", "(?P<n>", "(?i)", "(?m)", "(?U)", "(?-i)", "(?s)",
	")", ")", ")", "|", "|", "^", "$", "*", "+", "?", "*?", "{2}", "{1,2}", "{,5}", "{0,1}?", "{2,}", `\d`, `\W`, `\s`, `\b`, `\B`, `\A`, `\z`, `\.`, `\n`,
	`\x41`, `\pL`, `\P{Greek}`, `\Q`, `\E`, `\`, `[ab]`, `[^a]`, `[a-z]`, `[[:alpha:]]`, `[\s\d]`, `[^\W]`, `[a&&b]`, `[[a]`, `[--a]`, `[`, `[^`, "a-", `[]`,
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	lines.Encode(texts)
	known := map[string]bool{}
	tell := func(expression string) {
		// RE2 has each name once, unlike Go.
		if known[expression] || strings.Count(expression, "(?P<n>") > 1 {
			return
		}
		known[expression] = true
		compiled, err := regexp.Compile(expression)
		if err != nil {
			lines.Encode([]any{expression, "error", strings.TrimPrefix(err.Error(), "error parsing regexp: ")})
			return
		}
		var found []string
		for _, text := range texts {
			found = append(found, spans(compiled.FindStringSubmatchIndex(text)))
		}
		lines.Encode([]any{expression, "matches", strings.Join(found, " ")})
	}
	for _, expression := range written {
		tell(expression)
	}
	random := rand.New(rand.NewSource(1))
	for range madeUp {
		var expression strings.Builder
		for range 1 + random.Intn(7) {
			expression.WriteString(pieces[random.Intn(len(pieces))])
		}
		tell(expression.String())
	}
}

// spans is "." where nothing matches, else "0-3,1-2,." and so on.
func spans(offsets []int) string {
	if offsets == nil {
		return "."
	}
	var all []string
	for at := 0; at < len(offsets); at += 2 {
		if offsets[at] < 0 {
			all = append(all, ".")
		} else {
			all = append(all, fmt.Sprintf("%d-%d", offsets[at], offsets[at+1]))
		}
	}
	return strings.Join(all, ",")
}
