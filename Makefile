# A name for each chore. All of them run in the active virtual environment.
.PHONY: faults crowded neutrinos robustness install test slow lint format types ci docs pictures bench results sample

# A plain install before leaves compiled kernels behind: in the mode of setuptools they would hide the
# checkout, so it goes on the path as it is.
install:            ## the package with everything that tests need
	pip uninstall -y lartpc-reco; pip install -e ".[test]" --config-settings editable_mode=compat
test:               ## fast tests
	pytest
slow:               ## the tests that take minutes
	pytest -m slow
lint:               ## style
	ruff check . && ruff format --check .
format:             ## mend the style
	ruff check --fix . && ruff format .
types:              ## static types
	mypy
ci:                 ## what continuous integration runs, from nothing
	bash .ci/run
docs:               ## the site, in work/site: pip install -e ".[test,docs]"
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet
pictures:           ## remake the pictures of docs/
	reco run pipelines/lartpc.yaml data_samples/lartpc.h5 -o work/pictures.h5 --overwrite
	python docs/picture.py work/pictures.h5 6
bench:              ## speed of the sparse engine and of the chain
	python benchmarks/sparse.py && python benchmarks/chain.py
sample:             ## remake data_samples/
	reco simulate mixed -n 20 --seed 7 -o data_samples/lartpc.root --overwrite
	reco simulate mixed -n 20 --seed 8 -o data_samples/lartpc.h5 --overwrite
results:            ## the figures of docs/results.md, which has N=5000; on fresh events
	reco simulate mixed -n $(or $(N),500) --seed 3 --spread 0.05 -j 2 -o work/test.h5 --overwrite
	reco run pipelines/lartpc.yaml work/test.h5 -o work/results.h5 --overwrite
	reco evaluate work/results.h5 --all --report work/report
neutrinos:          ## the same on neutrino-like events
	reco simulate neutrino -n $(or $(N),1000) --first 100000 --seed 3 --spread 0.05 -j 2 -o work/nu.h5 --overwrite
	reco run pipelines/lartpc.yaml work/nu.h5 -o work/nu_results.h5 --overwrite
	reco evaluate work/nu_results.h5 --all
crowded:            ## the same on images of 11 to 21 interactions
	reco simulate crowded -n $(or $(N),300) --seed 3 --spread 0.05 -j 2 -o work/crowded.h5 --overwrite
	reco run pipelines/lartpc.yaml work/crowded.h5 -o work/crowded_results.h5 --overwrite
	reco evaluate work/crowded_results.h5 --all
robustness:         ## how the figures change when the simulation does; N events each
	python benchmarks/robustness.py --events $(or $(N),200)
faults:             ## the long campaigns of tests/faults, see docs/reliability.md; hours on two cores
	python -m tests.faults --mutations 10000 --documents 10000 --kills 100 --events 20000
