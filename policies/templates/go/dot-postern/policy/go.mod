module postern.example/policy

go 1.24
