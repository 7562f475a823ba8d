# Makes `using JuliaBox` find a package of that name: the worker has loaded the module already.
module JuliaBox end
