module example.com/{{name}}

go 1.24

require postern.example/policy v0.0.0

replace postern.example/policy => ./.postern/policy
